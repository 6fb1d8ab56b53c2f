// SPDX-License-Identifier: MIT
// Random signatures for the tests, the same on every platform.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "semcbir/signature_view.hpp"

namespace test {

/// The same numbers with every standard library.
class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(engine_()) % n; }
  /// In [-1, 1), a multiple of 2^-23.
  float real() { return static_cast<float>(below(1U << 24)) / static_cast<float>(1U << 23) - 1.0F; }

  /// In (-1, 1), of many magnitudes: squares of differences need rounding, which shows a fused multiply-add.
  float wide() { return std::ldexp(real(), -static_cast<int>(below(16))); }

 private:
  std::mt19937 engine_;
};

/// Columns of signatures in memory of exactly their size, so that AddressSanitizer sees every read past them.
struct Signatures {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::uint16_t> classes;
  std::vector<float> proportions;
  std::vector<float> centroids;
  std::vector<std::int64_t> ids;

  semcbir::SignatureView view() const {
    return {ids.size(), offsets.data(), classes.data(), proportions.data(), centroids.data(), ids.data()};
  }
};

/// Appends an image that has each of `n_classes` classes one time in three; one row in four has no keypoints.
inline void append_random(Signatures& signatures, Random& random, std::uint16_t n_classes, std::size_t dim) {
  float total = 0.0F;
  const std::size_t first = signatures.classes.size();
  for (std::uint16_t c = 0; c < n_classes; ++c) {
    if (random.below(3) != 0) continue;
    signatures.classes.push_back(c);
    signatures.proportions.push_back(random.real() + 1.5F);
    total += signatures.proportions.back();
    const bool empty = random.below(4) == 0;
    for (std::size_t d = 0; d < dim; ++d) signatures.centroids.push_back(empty ? 0.0F : random.wide());
  }
  for (std::size_t r = first; r < signatures.proportions.size(); ++r) signatures.proportions[r] /= total;
  signatures.offsets.push_back(static_cast<std::int64_t>(signatures.classes.size()));
  signatures.ids.push_back(static_cast<std::int64_t>(signatures.ids.size()));
}

inline Signatures random_signatures(std::uint32_t seed, std::size_t images, std::uint16_t n_classes,
                                    std::size_t dim) {
  Random random(seed);
  Signatures signatures;
  for (std::size_t i = 0; i < images; ++i) append_random(signatures, random, n_classes, dim);
  return signatures;
}

}  // namespace test
