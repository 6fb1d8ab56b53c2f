// SPDX-License-Identifier: MIT
// The table of functions that are written once for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "block_images.hpp"
#include "semcbir/class_terms.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Weights of classes, labels ascending, and that of all others; see ClassTerms.
struct Weights {
  const ClassWeight* classes;
  std::size_t count;
  double others;
};

/// An image whose rows count times a factor.
struct ScaledRows {
  ImageRows rows;
  const double* scales;  ///< by row; of classes without a weight they are not looked at
};

/// Rows of a class in a block of a screen, and which of its 256 images have one; see PartView.
struct ScreenRows {
  const std::int8_t* entries;
  std::size_t width;
  const std::uint32_t* steps;
  const std::uint16_t* present;
  const std::uint8_t* before;
  const std::uint16_t* norms;  ///< by image
};

/// A row of a query, and what its terms are multiplied by.
struct ScreenRow {
  const std::int16_t* entries;
  float product;  ///< products of entries, times a row's scale
  float norm;     ///< norms
  float error;    ///< errors of rows
  float off;      ///< norms: what the query's own error adds
  float center;   ///< what all rows' terms have in common
};

/// What numbers x of a column add to sums: x (square x + factor), or that of `most` where x is larger.
struct Parabola {
  const std::uint16_t* column;
  float most;
  float square;
  float factor;
};

/// Adds what a row of an image adds to the image's bound, and to how far it may be off.
SEMCBIR_INLINE void add_row_term(const ScreenRow& query, std::int32_t product, std::uint32_t step,
                                 std::uint16_t norm, float& least, float& error) {
  const auto length = static_cast<float>(std::int32_t{norm});
  const float off = query.error * row_error(step) + query.off * length;
  const float term =
      static_cast<float>(product) * query.product * row_scale(step) + (query.norm * length + query.center);
  least += term - off;
  error += off;
}

/// What is written once per instruction set.
struct Kernels {
  /// Squared L2 distance of two signatures with `dim` entries per class; see squared_distance in
  /// kernels_impl.hpp.
  double (*squared_distance)(const ImageRows& q, const ImageRows& x, std::size_t dim);

  /// The same with each class's squares times its weight, the product rounded before it is added; classes of
  /// weight 0 are passed over. See weighted_squared_distance in kernels_impl.hpp.
  double (*weighted_squared_distance)(const ImageRows& q, const ImageRows& x, std::size_t dim,
                                      const Weights& weights);

  /// The same for the weighted classes alone, with rows times their scales, which are given by row, each
  /// product rounded. See scaled_squared_distance in kernels_impl.hpp.
  double (*scaled_squared_distance)(const ScaledRows& q, const ScaledRows& x, std::size_t dim,
                                    const Weights& weights);

  /// products[i] = sum over d < width of rows[numbers[i] * width + d] * query[d], for each i < n; width is
  /// 16, 32 or a multiple of 64. The sums stay below 2^31.
  void (*row_products)(const std::int8_t* rows, std::size_t width, const std::uint8_t* numbers, std::size_t n,
                       const std::int16_t* query, std::int32_t* products);

  /// For the images i whose bit i % 16 of alive[i / 16] is set and that have a row: with
  /// e = query.error * error + query.off * norm, adds p * query.product * scale + query.norm * norm +
  /// query.center - e to least[i], where p is the row's product with the query, and e to errors[i]. Clears
  /// the bits of those whose least[i] is then above `most`; NaN is not.
  void (*add_row_terms)(const ScreenRows& rows, const ScreenRow& query, float most, std::uint16_t* alive,
                        float* least, float* errors);

  /// sums[i] += min(columns[c][i], values[c]) for each c < count; n a multiple of 16. The sums stay below
  /// 2^16.
  void (*add_minima)(std::uint16_t* sums, const std::uint16_t* const* columns, const std::uint16_t* values,
                     std::size_t count, std::size_t n);

  /// sums[i] += factors[c] * columns[c][i] for each c < count, one after the other; n a multiple of 16.
  void (*add_products)(float* sums, const std::uint16_t* const* columns, const float* factors,
                       std::size_t count, std::size_t n);

  /// Adds what parabolas[c].column[i] adds to sums[i], for each c < count, one after the other; n a multiple
  /// of 16.
  void (*add_parabolas)(float* sums, const Parabola* parabolas, std::size_t count, std::size_t n);

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
