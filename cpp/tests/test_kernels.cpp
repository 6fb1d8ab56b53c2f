// SPDX-License-Identifier: MIT
#include <algorithm>
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

/// The kernels of screens against plain loops: tiles of every width and length, all values of a byte.
void test_tiles(const std::string& level) {
  test::Random random(3);
  for (const std::size_t groups : {1U, 2U, 3U, 16U, 33U}) {
    for (std::size_t rows = 1; rows <= 16; ++rows) {
      std::vector<std::uint8_t> tile(groups * rows * 4 + 64);
      std::vector<std::int8_t> query(groups * 4);
      std::vector<float> scales(16);
      std::vector<std::uint16_t> norms(16);
      for (auto& t : tile) t = static_cast<std::uint8_t>(random.below(256));
      for (auto& q : query) q = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
      for (auto& s : scales) s = random.wide();
      for (auto& n : norms) n = static_cast<std::uint16_t>(random.below(65536));
      float terms[16];
      semcbir::active_kernels().tile_terms({tile.data(), rows * 4, scales.data(), norms.data()},
                                           {query.data(), 128 * 7, -0.3F, -0.7F, 0.01F}, groups, terms);
      for (std::size_t r = 0; r < rows; ++r) {
        std::int32_t dot = -128 * 7;
        for (std::size_t d = 0; d < groups * 4; ++d) {
          dot += tile[d / 4 * rows * 4 + r * 4 + d % 4] * query[d];
        }
        const float term = static_cast<float>(dot) * -0.3F + -0.7F;
        const float expected = term * scales[r] + 0.01F * static_cast<float>(norms[r]);
        CHECK_IN(terms[r] == expected, level);
      }
    }
  }
}

void test_columns(const std::string& level) {
  test::Random random(4);
  constexpr std::size_t n = 64;
  std::vector<std::uint16_t> column(n);
  std::vector<std::uint16_t> sums(n);
  std::vector<float> products(n);
  for (std::size_t i = 0; i < n; ++i) {
    column[i] = static_cast<std::uint16_t>(random.below(65536));
    sums[i] = static_cast<std::uint16_t>(random.below(30000));
    products[i] = random.wide();
  }
  column[5] = 32767;
  column[6] = 32768;
  const std::vector<std::uint16_t> before = sums;
  const std::vector<float> products_before = products;
  const semcbir::Kernels& kernels = semcbir::active_kernels();
  kernels.add_minima(sums.data(), column.data(), 32767, n);
  kernels.add_products(products.data(), column.data(), -0.37F, n);
  std::vector<std::uint16_t> masks(n / 16, 0xffff);
  std::vector<std::uint16_t> below(n / 16, 0xffff);
  products[9] = std::numeric_limits<float>::quiet_NaN();
  products[10] = -std::numeric_limits<float>::infinity();
  products[11] = std::numeric_limits<float>::infinity();
  kernels.at_least(sums.data(), 40000, n, masks.data());
  below[3] = 0x0ff0;
  kernels.clear_above(products.data(), products[12], n, below.data());
  for (std::size_t i = 0; i < n; ++i) {
    CHECK_IN(sums[i] == before[i] + std::min<int>(column[i], 32767), level);
    if (i < 9 || i > 11) {
      CHECK_IN(products[i] == products_before[i] + -0.37F * static_cast<float>(column[i]), level);
    }
    const bool may = i / 16 != 3 || (i % 16 >= 4 && i % 16 < 12);
    CHECK_IN((masks[i / 16] >> (i % 16) & 1) == (sums[i] >= 40000 ? 1 : 0), level);
    CHECK_IN((below[i / 16] >> (i % 16) & 1) == (may && !(products[i] > products[12]) ? 1 : 0), level);
  }
}

}  // namespace

int main() {
  for (const semcbir::SimdLevel level : semcbir::simd_levels()) {
    const std::string name = semcbir::simd_name(level);
    semcbir::set_simd_level(name);
    test_random_pairs(name);
    test_each_entry(name);
    test_extremes(name);
    test_tiles(name);
    test_columns(name);
  }
  return test::result();
}
