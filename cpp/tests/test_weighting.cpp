// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "random_signatures.hpp"
#include "semcbir/simd.hpp"
#include "semcbir/weighting.hpp"

namespace {

constexpr std::size_t kClasses = 9;

/// The root of the sum of squares in 16 lanes that are added in halves.
double norm(const float* row, std::size_t dim) {
  double lanes[16] = {};
  for (std::size_t d = 0; d < dim; ++d) {
    lanes[d % 16] += static_cast<double>(row[d]) * static_cast<double>(row[d]);
  }
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return std::sqrt(lanes[0]);
}

void test_lengths(std::size_t count, std::size_t dim, double whole_share, int threads) {
  test::Random random(static_cast<std::uint32_t>(count + dim));
  std::vector<std::uint16_t> classes;
  std::vector<float> proportions;
  std::vector<float> centroids;
  for (std::size_t i = 0; i < count; ++i) {
    classes.push_back(static_cast<std::uint16_t>(random.below(kClasses + 1)));
    proportions.push_back(std::fabs(random.real()));
    const bool null = random.below(5) == 0;
    for (std::size_t d = 0; d < dim; ++d) centroids.push_back(null ? 0.0F : random.wide());
  }
  const semcbir::Rows rows{count, classes.data(), proportions.data(), centroids.data(), dim};
  std::vector<float> out(count * dim, 9.0F);
  semcbir::weight_rows(rows, kClasses, whole_share, out.data(), threads);
  const std::string context = std::to_string(dim) + " on " + semcbir::simd_name(semcbir::simd_level());
  for (std::size_t i = 0; i < count; ++i) {
    const float* row = centroids.data() + i * dim;
    const double share = std::sqrt(static_cast<double>(proportions[i]));
    const double length =
        classes[i] == kClasses ? std::sqrt(whole_share) : std::sqrt(1.0 - whole_share) * share;
    const double size = norm(row, dim);
    for (std::size_t d = 0; d < dim; ++d) {
      const double expected = size > 0.0 ? length / size * static_cast<double>(row[d]) : 0.0;
      CHECK_IN(test::same_bits(out[i * dim + d], static_cast<float>(expected)), context);
    }
  }
}

}  // namespace

int main() {
  for (const semcbir::SimdLevel level : semcbir::simd_levels()) {
    semcbir::set_simd_level(semcbir::simd_name(level));
    for (const std::size_t dim : {1U, 7U, 15U, 16U, 17U, 33U, 128U}) test_lengths(60, dim, 0.7, 1);
    for (const int threads : {1, 2, 7}) test_lengths(3000, 3, 0.25, threads);
    test_lengths(20, 4, 0.0, 1);
    test_lengths(20, 4, 1.0, 1);
    test_lengths(0, 4, 1.0, 2);
  }
  const auto with = [](double share) { semcbir::weight_rows({}, kClasses, share, nullptr, 1); };
  for (const double share : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK(test::throws<std::invalid_argument>([&] { with(share); }, "whole_share: expected 0 to 1, got "));
  }
  return test::result();
}
