// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "check.hpp"
#include "kernels.hpp"
#include "random_signatures.hpp"
#include "reference.hpp"
#include "semcbir/signature_view.hpp"
#include "semcbir/simd.hpp"

namespace {

const std::vector<std::size_t> kDims{1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 36, 64, 128, 129};

void test_random_pairs(const std::string& level) {
  const semcbir::Kernels& kernels = semcbir::active_kernels();
  for (const std::size_t dim : kDims) {
    const test::Signatures images = test::random_signatures(static_cast<std::uint32_t>(dim), 24, 12, dim);
    for (std::size_t i = 0; i < 24; ++i) {
      for (std::size_t j = 0; j < 24; ++j) {
        const semcbir::ImageRows q = image_rows(images.view(), i, dim);
        const semcbir::ImageRows x = image_rows(images.view(), j, dim);
        const double got = kernels.squared_distance(q, x, dim);
        CHECK_IN(test::same_bits(got, test::reference_squared_distance(q, x, dim)), level);
        CHECK_IN(test::same_bits(got, kernels.squared_distance(x, q, dim)), level);
        CHECK_IN(i != j || test::same_bits(got, 0.0), level);
      }
    }
  }
}

/// Every entry must count, and count the same.
void test_each_entry(const std::string& level) {
  for (const std::size_t dim : kDims) {
    const std::uint16_t c = 3;
    for (std::size_t d = 0; d < dim; ++d) {
      std::vector<float> q(dim, 0.5F);
      const std::vector<float> x(dim, 0.5F);
      q[d] = 3.5F;
      const double got = semcbir::active_kernels().squared_distance({1, &c, nullptr, q.data()},
                                                                    {1, &c, nullptr, x.data()}, dim);
      CHECK_IN(got == 9.0, level);
    }
  }
}

void test_extremes(const std::string& level) {
  const std::uint16_t c = 0;
  const float big = std::numeric_limits<float>::max();
  const std::vector<float> q(17, big);
  const std::vector<float> x(17, -big);
  const std::vector<float> nan(17, std::numeric_limits<float>::quiet_NaN());
  const semcbir::ImageRows plus{1, &c, nullptr, q.data()};
  const semcbir::ImageRows minus{1, &c, nullptr, x.data()};
  const semcbir::ImageRows bad{1, &c, nullptr, nan.data()};
  const semcbir::Kernels& kernels = semcbir::active_kernels();
  CHECK_IN(test::same_bits(kernels.squared_distance(plus, minus, 17),
                           test::reference_squared_distance(plus, minus, 17)),
           level);
  CHECK_IN(std::isnan(kernels.squared_distance(plus, bad, 17)), level);
  CHECK_IN(test::same_bits(kernels.squared_distance({}, {}, 17), 0.0), level);
}

}  // namespace

int main() {
  for (const semcbir::SimdLevel level : semcbir::simd_levels()) {
    const std::string name = semcbir::simd_name(level);
    semcbir::set_simd_level(name);
    test_random_pairs(name);
    test_each_entry(name);
    test_extremes(name);
  }
  return test::result();
}
