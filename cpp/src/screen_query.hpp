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
  float length = 0;                   ///< |q|^2 less all rounding
  float slack = 0;                    ///< what rounding can add to a bound from above
  std::vector<std::int16_t> entries;  ///< by row, row_width(dim) each
  std::vector<float> scales;          ///< what one step of a row's entries is
  std::vector<float> norms;           ///< rounded up
  std::vector<float> stored;          ///< the norm of what the steps stand for
  std::vector<float> offs;            ///< the norm of what they leave out
  std::vector<std::uint16_t> shares;
};

/// Whether a query's bounds can be computed: lengths, and for a filter shares, as real images have them.
bool can_be_screened(const ImageRows& query, std::size_t dim, bool filtered);

/// `norm_step` is the largest of the screens.
ScreenQuery make_query(const ImageRows& rows, std::size_t dim, double norm_step);

}  // namespace semcbir
