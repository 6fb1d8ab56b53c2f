// SPDX-License-Identifier: MIT
#include "screen_query.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "exact.hpp"
#include "rounding.hpp"
#include "screen_block.hpp"

namespace semcbir {

bool can_be_screened(const ImageRows& query, std::size_t dim, bool filtered) {
  double total = 0;
  for (std::size_t i = 0; i < query.count; ++i) total += squared_norm(query.centroids + i * dim, dim);
  return total < kLargestSquare && total > 1 / kLargestSquare && (!filtered || sums_to_one(query));
}

ScreenQuery make_query(const ImageRows& rows, std::size_t dim, double norm_step) {
  ScreenQuery query;
  query.rows = rows;
  const std::size_t width = row_width(dim);
  query.entries.assign(rows.count * width, 0);
  // Sums of products of entries, up to 127 times these, stay within 32 bits.
  const double largest_step =
      std::min(32767.0, std::floor(2147483647.0 / (127.0 * static_cast<double>(dim))));
  double total = 0;
  double norms = 0;
  for (std::size_t i = 0; i < rows.count; ++i) {
    const float* row = rows.centroids + i * dim;
    const auto scale = static_cast<float>(static_cast<double>(largest_entry(row, dim)) / largest_step);
    double off = 0;
    double stored = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      const auto x = static_cast<double>(row[d]);
      const auto s = static_cast<double>(scale);
      const double w = s > 0 ? std::max(-largest_step, std::min(largest_step, std::nearbyint(x / s))) : 0.0;
      off += (x - s * w) * (x - s * w);
      stored += s * w * s * w;
      query.entries[i * width + d] = static_cast<std::int16_t>(w);
    }
    const double squared = squared_norm(row, dim);
    total += squared;
    norms += std::sqrt(squared);
    query.scales.push_back(scale);
    query.norms.push_back(rounded_up(std::sqrt(squared) * (1 + 1e-9)));
    query.stored.push_back(rounded_up(std::sqrt(stored) * (1 + 1e-6)));
    query.offs.push_back(rounded_up(std::sqrt(off) * (1 + 1e-6)));
    query.shares.push_back(proportion_steps_up(rows.proportions[i]));
  }
  // Norms of images are a step longer than they are, and rounded as such.
  const double rounding = total * relative_slack(rows.count) + std::ldexp(norms * norm_step, -18);
  query.length = rounded_down(total - rounding);
  query.slack = rounded_up(2 * rounding + 1e-6 * total);
  return query;
}

}  // namespace semcbir
