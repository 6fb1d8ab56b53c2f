// SPDX-License-Identifier: MIT
// The table of functions that are written once for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Rows of a class in a block of a screen.
struct ScreenTile {
  const std::uint8_t* entries;
  std::size_t stride;
  const float* scales;
  const std::uint16_t* norms;
};

/// A row of a query, and what its products with rows of a screen are multiplied by.
struct ScreenRow {
  const std::int8_t* entries;
  std::int32_t sum;  ///< 128 times the sum of the entries
  float product;
  float off;
  float norm;
};

/// What is written once per instruction set.
struct Kernels {
  /// Squared L2 distance of two signatures with `dim` entries per class; see squared_distance in
  /// kernels_impl.hpp.
  double (*squared_distance)(const ImageRows& q, const ImageRows& x, std::size_t dim);

  /// What up to 16 rows of a tile change a bound by, once they are multiplied with a query:
  /// terms[r] = (dot(r) * product + off) * scales[r] + norm * norms[r],
  /// dot(r) = sum over d of (tile(r, d) - 128) query[d].
  /// Group g of a row is four bytes, unsigned, at tile + g * stride + 4 * r. 64 bytes may be read at each
  /// tile + g * stride, and 16 scales and norms; rows beyond those that are there get any value.
  void (*tile_terms)(const ScreenTile& tile, const ScreenRow& query, std::size_t groups, float terms[16]);

  /// sums[i] += min(column[i], value), n a multiple of 16. The sums stay below 2^16.
  void (*add_minima)(std::uint16_t* sums, const std::uint16_t* column, std::uint16_t value, std::size_t n);

  /// sums[i] += factor * column[i], n a multiple of 16.
  void (*add_products)(float* sums, const std::uint16_t* column, float factor, std::size_t n);

  /// Bit i % 16 of masks[i / 16]: whether values[i] >= least; n a multiple of 16.
  void (*at_least)(const std::uint16_t* values, std::uint16_t least, std::size_t n, std::uint16_t* masks);

  /// Clears bit i % 16 of masks[i / 16] where values[i] > most; NaN is not. n a multiple of 16.
  void (*clear_above)(const float* values, float most, std::size_t n, std::uint16_t* masks);
};

// Null where the level is not compiled in.
extern const Kernels* const kernels_baseline;
extern const Kernels* const kernels_avx2;
extern const Kernels* const kernels_avx512;
extern const Kernels* const kernels_avx512vnni;
extern const Kernels* const kernels_neon;

/// Kernels of the level in use.
const Kernels& active_kernels();

}  // namespace semcbir
