// SPDX-License-Identifier: MIT
#include "outline.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bounds.hpp"
#include "exact.hpp"
#include "passing.hpp"
#include "rounding.hpp"

namespace semcbir {

std::vector<Common> Outliner::outline(std::size_t segment, const ScreenQuery& query, float* least,
                                      std::uint8_t* passes) {
  const Screen& screen = *segments_[segment].screen;
  std::vector<Common> common;
  std::size_t i = 0;
  for (std::size_t c = 0; c < screen.summaries.size() && i < query.classes.size();) {
    const std::uint16_t label = query.classes[i].label;
    const std::uint16_t summary = screen.summaries[c].label;
    if (summary == label) common.push_back({&screen.summaries[c], &query.classes[i]});
    c += summary <= label ? 1 : 0;
    i += label <= summary ? 1 : 0;
  }
  bound_blocks(screen, common, query, least);
  if (query.counts()) judge_blocks(screen, common, query, passes);
  std::stable_sort(common.begin(), common.end(),
                   [](const Common& a, const Common& b) { return a.asked->norm > b.asked->norm; });
  return common;
}

/// Bounds the distances of each block's images by the largest norms.
void Outliner::bound_blocks(const Screen& screen, const std::vector<Common>& common, const ScreenQuery& query,
                            float* least) {
  const std::size_t n = screen.padded_blocks();
  for (std::size_t b = 0; b < n; ++b) least[b] = base(query, screen.shortest[b]) + query.length;
  columns_.clear();
  factors_.clear();
  parabolas_.clear();
  double largest = static_cast<double>(query.length) + static_cast<double>(query.largest_terms);
  // Every class is rounded twice, to no more than this.
  const double steps = 2.0 * 65535.0 * static_cast<double>(screen.norm_step);
  for (const ScreenClass& c : query.classes) largest += steps * static_cast<double>(c.norm);
  for (const Common& one : common) {
    if (!one.asked->moves()) continue;
    const ScreenSummary& summary = *one.summary;
    Parabola parabola = parabola_of(query, *one.asked, screen.norm_step);
    // Norms of up to the largest: those at the lowest point, if that is among them.
    if (parabola.square > 0) parabola.most = -parabola.factor / (2.0F * parabola.square);
    if (query.unit_rows && parabola.factor > 0) continue;  // images without the class add nothing
    for (std::size_t e = summary.first; e < summary.first + summary.entries; ++e) {
      least[screen.entries[e].block] += value_of(parabola, screen.entries[e].largest_norm);
    }
    if (summary.entries != 0) continue;
    parabola.column = &screen.norms[summary.first];
    if (parabola.square != 0 || query.unit_rows) {
      parabolas_.push_back(parabola);
    } else {
      columns_.push_back(parabola.column);
      factors_.push_back(parabola.factor);
    }
  }
  kernels_.add_products(least, columns_.data(), factors_.data(), columns_.size(), n);
  kernels_.add_parabolas(least, parabolas_.data(), parabolas_.size(), n);
  // In float, as the slack is many times what is needed.
  const auto slack = static_cast<float>(relative_slack(query.classes.size()));
  const float most = rounded_up(largest);
  for (std::size_t b = 0; b < n; ++b) {
    const float length = std::fabs(screen.shortest[b]);
    const float rounding = slack * (most + length);
    least[b] -= length < static_cast<float>(kLargestSquare) ? rounding : 0.0F;
  }
}

/// Finds the blocks that may hold images that pass, by their largest shares.
void Outliner::judge_blocks(const Screen& screen, const std::vector<Common>& common, const ScreenQuery& query,
                            std::uint8_t* passes) {
  const std::size_t n = screen.padded_blocks();
  std::fill(passes, passes + n, std::uint8_t{1});
  if (query.filtered) {
    minima_.assign(n, 0);
    columns_.clear();
    values_.clear();
    for (const Common& one : common) {
      const std::uint16_t p = one.asked->share;
      const ScreenSummary& summary = *one.summary;
      for (std::size_t e = summary.first; e < summary.first + summary.entries; ++e) {
        std::uint16_t& sum = minima_[screen.entries[e].block];
        sum = static_cast<std::uint16_t>(sum + std::min(p, screen.entries[e].largest_share));
      }
      if (summary.entries != 0) continue;
      columns_.push_back(&screen.shares[summary.first]);
      values_.push_back(p);
    }
    kernels_.add_minima(minima_.data(), columns_.data(), values_.data(), columns_.size(), n);
    for (std::size_t b = 0; b < n; ++b) passes[b] = minima_[b] >= query.possible ? 1 : 0;
  }
  if (query.needs) {
    sums_.assign(n, 0.0F);
    columns_.clear();
    for (const Common& one : common) {
      if (!one.asked->needed) continue;
      const ScreenSummary& summary = *one.summary;
      for (std::size_t e = summary.first; e < summary.first + summary.entries; ++e) {
        sums_[screen.entries[e].block] += static_cast<float>(screen.entries[e].largest_share);
      }
      if (summary.entries == 0) columns_.push_back(&screen.shares[summary.first]);
    }
    factors_.assign(columns_.size(), 1.0F);
    kernels_.add_products(sums_.data(), columns_.data(), factors_.data(), columns_.size(), n);
    // Sums of largest shares may be large, and rounded as such.
    const float enough = possibly_enough(query);
    for (std::size_t b = 0; b < n; ++b) {
      if (sums_[b] * 1.001F < enough) passes[b] = 0;
    }
  }
  for (std::size_t b = 0; b < n; ++b) passes[b] = passes[b] | screen.unsure[b];
}

std::int64_t Outliner::outline_bytes(std::size_t segment, const std::vector<Common>& common) const {
  const Screen& screen = *segments_[segment].screen;
  const std::size_t column = screen.padded_blocks() * sizeof(std::uint16_t);
  std::size_t bytes = screen.padded_blocks() * sizeof(float);
  for (const Common& one : common) {
    const std::size_t entries = one.summary->entries;
    const std::size_t columns = (one.asked->moves() ? 1 : 0) + (one.asked->is_judged() ? 1 : 0);
    bytes += entries != 0 ? entries * sizeof(ScreenEntry) : column * columns;
  }
  return static_cast<std::int64_t>(bytes);
}

}  // namespace semcbir
