// SPDX-License-Identifier: MIT
#include "building.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "exact.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/parallel.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {
namespace {

bool is_void(std::size_t label, const SignatureSpec& spec) {
  return spec.void_label >= 0 && label == static_cast<std::size_t>(spec.void_label);
}

}  // namespace

void check_spec(const SignatureSpec& spec) {
  if (spec.n_classes < 1 || spec.n_classes > kMaxClasses) {
    throw std::invalid_argument("n_classes: expected 1 to 65536, got " + std::to_string(spec.n_classes));
  }
  if (spec.void_label < -1 || spec.void_label > 65535) {
    throw std::invalid_argument("void: expected -1 (none) to 65535, got " + std::to_string(spec.void_label));
  }
  if (spec.dim < 1) throw std::invalid_argument("dim: expected at least 1, got 0");
}

void check_pixels(std::size_t height, std::size_t width) {
  if (height == 0 || width == 0) {
    throw std::invalid_argument("label map: expected at least one pixel, got " + std::to_string(height) +
                                " x " + std::to_string(width));
  }
}

void build_histogram(const std::vector<std::uint64_t>& pixels, const SignatureSpec& spec,
                     ImageSignature& result) {
  std::uint64_t labelled = 0;
  for (std::size_t label = 0; label < pixels.size(); ++label) {
    if (pixels[label] == 0 || is_void(label, spec)) continue;
    if (label >= spec.n_classes) {
      throw std::invalid_argument(
          "label map: expected labels below n_classes = " + std::to_string(spec.n_classes) +
          (spec.void_label < 0 ? "" : " or void = " + std::to_string(spec.void_label)) + ", got " +
          std::to_string(label));
    }
    labelled += pixels[label];
    result.classes.push_back(static_cast<std::uint16_t>(label));
  }
  for (const std::uint16_t label : result.classes) {
    const double share = static_cast<double>(pixels[label]) / static_cast<double>(labelled);
    result.proportions.push_back(static_cast<float>(share));
  }
}

std::vector<std::size_t> rows_of_labels(const std::vector<std::uint16_t>& classes, std::size_t labels_end) {
  std::vector<std::size_t> rows(labels_end, classes.size());
  for (std::size_t row = 0; row < classes.size(); ++row) rows[classes[row]] = row;
  return rows;
}

std::vector<ImageSignature> build_all(std::size_t n, int threads, const Interrupted& interrupted,
                                      const std::function<ImageSignature(std::size_t)>& build_one) {
  Interruption interruption(interrupted);
  std::vector<ImageSignature> result(n);
  const auto build = [&](std::size_t i) {
    try {
      result[i] = build_one(i);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("image " + std::to_string(i) + ": " + error.what());
    }
  };
  parallel_for(n, threads, build, &interruption);
  return result;
}

}  // namespace semcbir
