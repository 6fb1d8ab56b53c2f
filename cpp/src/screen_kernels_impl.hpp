// SPDX-License-Identifier: MIT
// The kernels of screens in plain C++, which compilers turn into vector instructions; included by the
// kernels_*.cpp files only, for the reasons that kernels_impl.hpp gives.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.hpp"
#include "screen_rows_impl.hpp"

namespace semcbir {
namespace {

void plain_row_products(const std::int8_t* rows, std::size_t width, const std::uint8_t* numbers,
                        std::size_t n, const std::int16_t* query, std::int32_t* products) {
  for (std::size_t i = 0; i < n; ++i) {
    const std::int8_t* row = rows + numbers[i] * width;
    std::int32_t sum = 0;
    for (std::size_t d = 0; d < width; ++d) sum += row[d] * query[d];
    products[i] = sum;
  }
}

void plain_add_row_terms(const ScreenRows& rows, const ScreenRow& query, float most, std::uint16_t* alive,
                         float* least, float* errors) {
  add_row_terms(rows, query, most, alive, least, errors, plain_row_products);
}

void plain_add_minima(std::uint16_t* sums, const std::uint16_t* const* columns, const std::uint16_t* values,
                      std::size_t count, std::size_t n) {
  for (std::size_t c = 0; c < count; ++c) {
    const std::uint16_t* column = columns[c];
    const std::uint16_t value = values[c];
    for (std::size_t i = 0; i < n; ++i) {
      sums[i] = static_cast<std::uint16_t>(sums[i] + (column[i] < value ? column[i] : value));
    }
  }
}

void plain_add_products(float* sums, const std::uint16_t* const* columns, const float* factors,
                        std::size_t count, std::size_t n) {
  for (std::size_t c = 0; c < count; ++c) {
    const std::uint16_t* column = columns[c];
    const float factor = factors[c];
    for (std::size_t i = 0; i < n; ++i) {
      sums[i] += factor * static_cast<float>(static_cast<std::int32_t>(column[i]));
    }
  }
}

void plain_add_parabolas(float* sums, const Parabola* parabolas, std::size_t count, std::size_t n) {
  for (std::size_t c = 0; c < count; ++c) {
    const Parabola parabola = parabolas[c];
    for (std::size_t i = 0; i < n; ++i) {
      const auto value = static_cast<float>(static_cast<std::int32_t>(parabola.column[i]));
      const float x = value < parabola.most ? value : parabola.most;
      sums[i] += x * (parabola.square * x + parabola.factor);
    }
  }
}

void plain_at_least(const std::uint16_t* values, std::uint16_t least, std::size_t n, std::uint16_t* masks) {
  for (std::size_t i = 0; i < n; i += kMaskBits) {
    unsigned mask = 0;
    for (std::size_t j = 0; j < kMaskBits; ++j) mask |= static_cast<unsigned>(values[i + j] >= least) << j;
    masks[i / kMaskBits] = static_cast<std::uint16_t>(mask);
  }
}

void plain_clear_above(const float* values, float most, std::size_t n, std::uint16_t* masks) {
  for (std::size_t i = 0; i < n; i += kMaskBits) {
    unsigned mask = 0;
    for (std::size_t j = 0; j < kMaskBits; ++j) mask |= static_cast<unsigned>(!(values[i + j] > most)) << j;
    masks[i / kMaskBits] = static_cast<std::uint16_t>(masks[i / kMaskBits] & mask);
  }
}

}  // namespace
}  // namespace semcbir
