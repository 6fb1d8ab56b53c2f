// SPDX-License-Identifier: MIT
// The kernels of screens in plain C++, which compilers turn into vector instructions; included by the
// kernels_*.cpp files only, for the reasons that kernels_impl.hpp gives.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.hpp"

namespace semcbir {
namespace {

constexpr std::size_t kGroup = 4;
constexpr std::size_t kTile = 16;

void plain_tile_terms(const ScreenTile& tile, const ScreenRow& query, std::size_t groups,
                      float terms[kTile]) {
  std::int32_t dots[kTile] = {};
  for (std::size_t g = 0; g < groups; ++g) {
    const std::uint8_t* entries = tile.entries + g * tile.stride;
    const std::int8_t* q = query.entries + g * kGroup;
    for (std::size_t r = 0; r < kTile; ++r) {
      const std::uint8_t* row = entries + r * kGroup;
      dots[r] += row[0] * q[0] + row[1] * q[1] + row[2] * q[2] + row[3] * q[3];
    }
  }
  for (std::size_t r = 0; r < kTile; ++r) {
    const float term = static_cast<float>(dots[r] - query.sum) * query.product + query.off;
    terms[r] = term * tile.scales[r] + query.norm * static_cast<float>(std::int32_t{tile.norms[r]});
  }
}

void plain_add_minima(std::uint16_t* sums, const std::uint16_t* column, std::uint16_t value, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    sums[i] = static_cast<std::uint16_t>(sums[i] + (column[i] < value ? column[i] : value));
  }
}

void plain_add_products(float* sums, const std::uint16_t* column, float factor, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    sums[i] += factor * static_cast<float>(static_cast<std::int32_t>(column[i]));
  }
}

void plain_at_least(const std::uint16_t* values, std::uint16_t least, std::size_t n, std::uint16_t* masks) {
  for (std::size_t i = 0; i < n; i += kTile) {
    unsigned mask = 0;
    for (std::size_t j = 0; j < kTile; ++j) mask |= static_cast<unsigned>(values[i + j] >= least) << j;
    masks[i / kTile] = static_cast<std::uint16_t>(mask);
  }
}

void plain_clear_above(const float* values, float most, std::size_t n, std::uint16_t* masks) {
  for (std::size_t i = 0; i < n; i += kTile) {
    unsigned mask = 0;
    for (std::size_t j = 0; j < kTile; ++j) mask |= static_cast<unsigned>(!(values[i + j] > most)) << j;
    masks[i / kTile] = static_cast<std::uint16_t>(masks[i / kTile] & mask);
  }
}

}  // namespace
}  // namespace semcbir
