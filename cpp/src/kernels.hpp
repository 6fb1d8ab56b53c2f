// SPDX-License-Identifier: MIT
// The table of functions that are written once for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Rows of a class in a block of a screen, and which of its 256 images have one; see PartView.
struct ScreenRows {
  const std::uint8_t* entries;
  std::size_t width;
  const float* scales;
  const std::uint16_t* present;
  const std::uint8_t* before;
  const std::uint16_t* norms;  ///< by image
};

/// A row of a query, and what its products with rows of a screen are multiplied by.
struct ScreenRow {
  const std::int8_t* entries;
  std::int32_t sum;  ///< 128 times the sum of the entries
  float product;
  float off;
  float norm;
  float spread;
};

/// What is written once per instruction set.
struct Kernels {
  /// Squared L2 distance of two signatures with `dim` entries per class; see squared_distance in
  /// kernels_impl.hpp.
  double (*squared_distance)(const ImageRows& q, const ImageRows& x, std::size_t dim);

  /// products[i] = sum over d < width of rows[numbers[i] * width + d] * query[d], for each i < n; width is
  /// 16, 32 or a multiple of 64. The sums stay below 2^31.
  void (*row_products)(const std::uint8_t* rows, std::size_t width, const std::uint8_t* numbers,
                       std::size_t n, const std::int8_t* query, std::int32_t* products);

  /// least[i] += ((p - query.sum) * query.product + query.off) * scale + query.norm * norm for the images i
  /// whose bit i % 16 of alive[i / 16] is set and that have a row; p is the row's product with the query.
  /// Adds query.spread * scale to their spread[i], and clears the bits of those whose least[i] is then above
  /// `most`; NaN is not.
  void (*add_row_terms)(const ScreenRows& rows, const ScreenRow& query, float most, std::uint16_t* alive,
                        float* least, float* spread);

  /// sums[i] += min(columns[c][i], values[c]) for each c < count; n a multiple of 16. The sums stay below
  /// 2^16.
  void (*add_minima)(std::uint16_t* sums, const std::uint16_t* const* columns, const std::uint16_t* values,
                     std::size_t count, std::size_t n);

  /// sums[i] += factors[c] * columns[c][i] for each c < count, one after the other; n a multiple of 16.
  void (*add_products)(float* sums, const std::uint16_t* const* columns, const float* factors,
                       std::size_t count, std::size_t n);

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
