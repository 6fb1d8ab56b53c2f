// SPDX-License-Identifier: MIT
// The table of functions that are written once for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "semcbir/signature_view.hpp"

namespace semcbir {

/// What is written once per instruction set.
struct Kernels {
  /// Squared L2 distance of two signatures with `dim` entries per class; see squared_distance in
  /// kernels_impl.hpp.
  double (*squared_distance)(const ImageRows& q, const ImageRows& x, std::size_t dim);

  /// Scalar products of up to 16 rows of a tile with a query: dots[r] = sum over d of tile(r, d) query[d].
  /// Group g of a row is four bytes, unsigned, at tile + g * stride + 4 * r; 64 bytes may be read at each
  /// tile + g * stride, and rows beyond those that are there get any value.
  void (*tile_dots)(const std::uint8_t* tile, std::size_t stride, const std::int8_t* query,
                    std::size_t groups, std::int32_t dots[16]);

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
