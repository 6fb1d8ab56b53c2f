// SPDX-License-Identifier: MIT
// Finding rows of a screen by the bits of their images; included by the kernels_*.cpp files only, for the
// reasons that kernels_impl.hpp gives.
#pragma once

#include <cstddef>
#include <cstdint>

#include "block_images.hpp"
#include "kernels.hpp"

namespace semcbir {
namespace {

/// Rows of some images of a block.
struct FoundRows {
  std::size_t count = 0;
  std::uint8_t numbers[kBlockImages];
  std::uint8_t places[kBlockImages];
};

/// Finds the rows of the images whose bits are set in `alive`.
void find_rows(const ScreenRows& rows, const std::uint16_t* alive, FoundRows& found) {
  for (std::size_t m = 0; m < kMasks; ++m) {
    const unsigned present = rows.present[m];
    for (unsigned bits = alive[m] & present; bits != 0; bits &= bits - 1) {
      const unsigned below = (bits & (~bits + 1U)) - 1U;
      found.numbers[found.count] = static_cast<std::uint8_t>(rows.before[m] + count_bits(present & below));
      found.places[found.count] = static_cast<std::uint8_t>(m * kMaskBits + count_bits(below));
      ++found.count;
    }
  }
}

/// Kernels::add_row_terms, given Kernels::row_products.
template <class Products>
void add_row_terms(const ScreenRows& rows, const ScreenRow& query, float most, std::uint16_t* alive,
                   float* least, float* errors, const Products& row_products) {
  FoundRows found;
  find_rows(rows, alive, found);
  std::int32_t products[kBlockImages];
  row_products(rows.entries, rows.width, found.numbers, found.count, query.entries, products);
  for (std::size_t i = 0; i < found.count; ++i) {
    const std::size_t place = found.places[i];
    add_row_term(query, products[i], rows.steps[found.numbers[i]], rows.norms[place], least[place],
                 errors[place]);
    const auto out = static_cast<unsigned>(least[place] > most);
    alive[place / kMaskBits] =
        static_cast<std::uint16_t>(alive[place / kMaskBits] & ~(out << place % kMaskBits));
  }
}

}  // namespace
}  // namespace semcbir
