// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

/// The upper 16 bits of a float, and the float whose upper 16 bits are the lower ones of `upper`.
std::uint32_t upper_bits(float x) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits >> 16;
}

float lower_float(std::uint32_t upper) {
  const std::uint32_t bits = upper << 16;
  float x = 0;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

/// Rows of a class in a block, of which some images have one.
struct Rows {
  Rows(test::Random& random, std::size_t row_width, std::uint32_t in_16)
      : width(row_width), present(16), before(16), norms(256) {
    std::size_t count = 0;
    for (std::size_t place = 0; place < 256; ++place) {
      if (place % 16 == 0) before[place / 16] = static_cast<std::uint8_t>(count);
      norms[place] = static_cast<std::uint16_t>(random.below(65536));
      if (random.below(16) >= in_16) continue;
      present[place / 16] = static_cast<std::uint16_t>(present[place / 16] | 1U << place % 16);
      ++count;
    }
    entries.resize(count * width);
    for (auto& e : entries) e = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
    steps.resize(count + 16);
    for (auto& s : steps) s = upper_bits(random.wide()) << 16 | upper_bits(std::fabs(random.wide()));
    query.resize(width);
    const auto largest = static_cast<std::uint32_t>(std::min<std::size_t>(32767, 2147483647 / (127 * width)));
    for (auto& q : query)
      q = static_cast<std::int16_t>(static_cast<int>(random.below(2 * largest + 1)) -
                                    static_cast<int>(largest));
  }

  std::int32_t product(std::size_t row) const {
    std::int32_t sum = 0;
    for (std::size_t d = 0; d < width; ++d) sum += entries[row * width + d] * query[d];
    return sum;
  }

  std::size_t width;
  std::vector<std::int8_t> entries;
  std::vector<std::uint32_t> steps;  ///< a scale and an error
  std::vector<std::uint16_t> present;
  std::vector<std::uint8_t> before;
  std::vector<std::uint16_t> norms;
  std::vector<std::int16_t> query;
};

/// The kernels of screens against plain loops: rows of every width, few and many images.
void test_rows(const std::string& level) {
  test::Random random(3);
  const semcbir::Kernels& kernels = semcbir::active_kernels();
  for (const std::size_t width : {16U, 32U, 64U, 128U, 1024U}) {
    for (const std::uint32_t in_16 : {1U, 4U, 15U, 16U}) {
      const Rows rows(random, width, in_16);
      const std::size_t count = rows.entries.size() / width;
      for (std::size_t n = 0; n <= count; n += n < 9 ? 1 : 37) {
        std::vector<std::uint8_t> numbers(n);
        for (auto& number : numbers)
          number = static_cast<std::uint8_t>(random.below(static_cast<std::uint32_t>(count)));
        std::vector<std::int32_t> products(n + 1, 77);
        kernels.row_products(rows.entries.data(), width, numbers.data(), n, rows.query.data(),
                             products.data());
        for (std::size_t i = 0; i < n; ++i) CHECK_IN(products[i] == rows.product(numbers[i]), level);
        CHECK_IN(products[n] == 77, level);
      }
      for (const std::uint32_t alive_in_16 : {0U, 1U, 8U, 16U}) {
        std::vector<std::uint16_t> alive(16);
        std::vector<float> least(256);
        for (std::size_t place = 0; place < 256; ++place) {
          const unsigned in = random.below(16) < alive_in_16 ? 1U : 0U;
          alive[place / 16] = static_cast<std::uint16_t>(alive[place / 16] | in << place % 16);
          least[place] = random.wide();
        }
        least[7] = std::numeric_limits<float>::quiet_NaN();
        least[8] = -std::numeric_limits<float>::infinity();
        std::vector<std::uint16_t> expected_alive = alive;
        std::vector<float> expected = least;
        std::vector<float> errors(256, 0.5F);
        std::vector<float> expected_errors = errors;
        const float most = least[0];
        std::size_t row = 0;
        for (std::size_t place = 0; place < 256; ++place) {
          if ((rows.present[place / 16] >> place % 16 & 1) == 0) continue;
          if ((alive[place / 16] >> place % 16 & 1) != 0) {
            const auto norm = static_cast<float>(rows.norms[place]);
            const float error = 0.02F * lower_float(rows.steps[row]) + 0.001F * norm;
            const float product = static_cast<float>(rows.product(row)) * -0.3F;
            const float term = product * lower_float(rows.steps[row] >> 16) + (0.01F * norm + -0.7F);
            expected[place] += term - error;
            expected_errors[place] += error;
            if (expected[place] > most) {
              expected_alive[place / 16] =
                  static_cast<std::uint16_t>(expected_alive[place / 16] & ~(1U << place % 16));
            }
          }
          ++row;
        }
        kernels.add_row_terms({rows.entries.data(), width, rows.steps.data(), rows.present.data(),
                               rows.before.data(), rows.norms.data()},
                              {rows.query.data(), -0.3F, 0.01F, 0.02F, 0.001F, -0.7F}, most, alive.data(),
                              least.data(), errors.data());
        CHECK_IN(alive == expected_alive, level);
        CHECK_IN(errors == expected_errors, level);
        for (std::size_t place = 0; place < 256; ++place) {
          CHECK_IN(least[place] == expected[place] || (place == 7 && std::isnan(least[place])), level);
        }
      }
    }
  }
}

/// Sums over columns, of numbers of every length that kernels take in pieces of their own.
void test_columns(const std::string& level, std::size_t n, std::size_t count) {
  test::Random random(4);
  std::vector<std::vector<std::uint16_t>> columns(count, std::vector<std::uint16_t>(n));
  std::vector<const std::uint16_t*> pointers;
  std::vector<std::uint16_t> values;
  std::vector<float> factors;
  std::vector<semcbir::Parabola> parabolas;
  for (auto& column : columns) {
    for (auto& x : column) x = static_cast<std::uint16_t>(random.below(65536));
    column[5] = 32767;
    column[6] = 32768;
    pointers.push_back(column.data());
    values.push_back(static_cast<std::uint16_t>(random.below(static_cast<std::uint32_t>(32768 / count))));
    factors.push_back(random.wide());
    parabolas.push_back(
        {column.data(), static_cast<float>(random.below(65536)), random.wide(), random.wide()});
  }
  std::vector<std::uint16_t> sums(n);
  std::vector<float> products(n);
  for (auto& sum : sums) sum = static_cast<std::uint16_t>(random.below(32767));
  for (auto& sum : products) sum = random.wide();
  std::vector<std::uint16_t> expected = sums;
  std::vector<float> expected_products = products;
  std::vector<float> parabola_sums = products;
  std::vector<float> expected_parabolas = products;
  for (std::size_t c = 0; c < count; ++c) {
    for (std::size_t i = 0; i < n; ++i) {
      expected[i] = static_cast<std::uint16_t>(expected[i] + std::min(columns[c][i], values[c]));
      expected_products[i] += factors[c] * static_cast<float>(columns[c][i]);
      const float x = std::min(static_cast<float>(columns[c][i]), parabolas[c].most);
      expected_parabolas[i] += x * (parabolas[c].square * x + parabolas[c].factor);
    }
  }
  const semcbir::Kernels& kernels = semcbir::active_kernels();
  kernels.add_minima(sums.data(), pointers.data(), values.data(), count, n);
  kernels.add_products(products.data(), pointers.data(), factors.data(), count, n);
  kernels.add_parabolas(parabola_sums.data(), parabolas.data(), count, n);
  CHECK_IN(sums == expected, level);
  CHECK_IN(parabola_sums == expected_parabolas, level);
  CHECK_IN(products == expected_products, level);
}

void test_comparisons(const std::string& level) {
  test::Random random(5);
  constexpr std::size_t n = 64;
  std::vector<std::uint16_t> sums(n);
  std::vector<float> products(n);
  for (auto& sum : sums) sum = static_cast<std::uint16_t>(random.below(65536));
  for (auto& product : products) product = random.wide();
  sums[3] = 40000;
  sums[4] = 39999;
  const semcbir::Kernels& kernels = semcbir::active_kernels();
  std::vector<std::uint16_t> masks(n / 16, 0xffff);
  std::vector<std::uint16_t> below(n / 16, 0xffff);
  products[9] = std::numeric_limits<float>::quiet_NaN();
  products[10] = -std::numeric_limits<float>::infinity();
  products[11] = std::numeric_limits<float>::infinity();
  kernels.at_least(sums.data(), 40000, n, masks.data());
  below[3] = 0x0ff0;
  kernels.clear_above(products.data(), products[12], n, below.data());
  for (std::size_t i = 0; i < n; ++i) {
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
    test_rows(name);
    for (const std::size_t n : {16U, 64U, 128U, 240U, 256U, 592U}) {
      for (const std::size_t count : {1U, 2U, 9U}) test_columns(name, n, count);
    }
    test_comparisons(name);
  }
  return test::result();
}
