// SPDX-License-Identifier: MIT
#include "semcbir/signature_view.hpp"

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace semcbir {
namespace {

void check_offsets(const SignatureView& view, std::size_t rows) {
  if (view.offsets[0] != 0) {
    throw std::invalid_argument("offsets: expected to start at 0, got " + std::to_string(view.offsets[0]));
  }
  for (std::size_t i = 0; i < view.images; ++i) {
    if (view.offsets[i + 1] < view.offsets[i]) {
      throw std::invalid_argument("offsets: expected not to decrease, got " +
                                  std::to_string(view.offsets[i]) + " then " +
                                  std::to_string(view.offsets[i + 1]) + " for image " + std::to_string(i));
    }
  }
  const std::int64_t last = view.offsets[view.images];
  if (static_cast<std::uint64_t>(last) != rows) {
    throw std::invalid_argument("offsets: expected to end at the number of rows, " + std::to_string(rows) +
                                ", got " + std::to_string(last));
  }
}

void check_classes(const SignatureView& view, std::size_t n_classes) {
  for (std::size_t i = 0; i < view.images; ++i) {
    for (std::int64_t r = view.offsets[i] + 1; r < view.offsets[i + 1]; ++r) {
      if (view.classes[r] <= view.classes[r - 1]) {
        throw std::invalid_argument("classes: expected to ascend within an image, got " +
                                    std::to_string(view.classes[r - 1]) + " then " +
                                    std::to_string(view.classes[r]) + " in image " + std::to_string(i));
      }
    }
    const std::int64_t end = view.offsets[i + 1];
    if (end > view.offsets[i] && view.classes[end - 1] >= n_classes) {
      throw std::invalid_argument("classes: expected below n_classes=" + std::to_string(n_classes) +
                                  ", got " + std::to_string(view.classes[end - 1]) + " in image " +
                                  std::to_string(i));
    }
  }
}

}  // namespace

void check_rows(const SignatureView& view, std::size_t rows, std::size_t n_classes) {
  check_offsets(view, rows);
  check_classes(view, n_classes);
}

}  // namespace semcbir
