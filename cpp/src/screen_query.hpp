// SPDX-License-Identifier: MIT
// Queries as screens see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "semcbir/signature_view.hpp"

namespace semcbir {

/// A query in the steps of screens.
struct ScreenQuery {
  ImageRows rows;
  float length = 0;                  ///< |q|^2 less all rounding
  float slack = 0;                   ///< what rounding can add to a bound from above
  std::vector<std::int8_t> entries;  ///< by row, row_width(dim) each
  std::vector<float> scales;         ///< what one step of a row's entries is
  std::vector<float> norms;          ///< rounded up
  std::vector<float> offs;           ///< b: the error of a product with a row of scale s is at most s b
  std::vector<std::int32_t> sums;    ///< of a row's entries
  std::vector<std::uint16_t> shares;
};

/// What the screens of all segments have in common, or the largest of theirs.
struct ScreenScale {
  double entry_error = 0;
  double entry_norm = 0;
  double norm_step = 0;
};

/// Whether a query's bounds can be computed: lengths, and for a filter shares, as real images have them.
bool can_be_screened(const ImageRows& query, std::size_t dim, bool filtered);

ScreenQuery make_query(const ImageRows& rows, std::size_t dim, const ScreenScale& screens);

}  // namespace semcbir
