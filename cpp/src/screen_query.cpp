// SPDX-License-Identifier: MIT
#include "screen_query.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "exact.hpp"
#include "ranking.hpp"
#include "rounding.hpp"
#include "screen_block.hpp"

namespace semcbir {
namespace {

constexpr std::size_t kNoRow = SIZE_MAX;

/// What a search asks of a class.
struct Part {
  std::uint16_t label = 0;
  std::size_t row = kNoRow;  ///< of the query
  double weight = 1;
  double square = 0;  ///< see ScreenClass
  bool needed = false;
  bool barred = false;
};

/// All classes that the query has or the terms name, labels ascending.
std::vector<Part> parts_of(const ImageRows& rows, const ClassTerms* terms) {
  const double others = terms == nullptr ? 1.0 : terms->others;
  std::vector<Part> parts;
  for (std::size_t i = 0; i < rows.count; ++i) parts.push_back({rows.classes[i], i, others, 0, false, false});
  if (terms == nullptr) return parts;
  const auto part = [&parts, others](std::uint16_t label) -> Part& {
    const auto at = std::lower_bound(parts.begin(), parts.end(), label,
                                     [](const Part& p, std::uint16_t l) { return p.label < l; });
    if (at != parts.end() && at->label == label) return *at;
    return *parts.insert(at, {label, kNoRow, others, 0, false, false});
  };
  for (const ClassWeight& one : terms->weights) {
    Part& p = part(one.label);
    p.weight = one.weight;
    p.square = one.weight - others;
  }
  for (const std::uint16_t label : terms->needed) part(label).needed = true;
  for (const std::uint16_t label : terms->barred) part(label).barred = true;
  return parts;
}

bool has_unit_rows(const Wish& wish) { return wish.terms != nullptr && wish.terms->unit_rows; }

/// |row|^2 as it counts.
double counted(const float* row, std::size_t dim, const Wish& wish) {
  const double squared = squared_norm(row, dim);
  return has_unit_rows(wish) && squared > 0 ? 1 : squared;
}

/// What squares of classes with weights of their own can add to |q|^2 + |x|^2, on the way.
double largest_terms(const std::vector<Part>& parts, const Wish& wish, double norm_step) {
  const double norm = has_unit_rows(wish) ? 1 : 65535 * norm_step;
  double sum = 0;
  for (const Part& p : parts) {
    if (p.square != 0) sum += (p.weight + std::fabs(p.square)) * norm * norm;
  }
  return sum;
}

/// Stores weight times a row of the query as multiples of a scale.
void store_row(ScreenQuery& query, ScreenClass& out, const float* row, std::size_t dim, double weight) {
  // Sums of products of entries, up to 127 times these, stay within 32 bits.
  const double largest_step =
      std::min(32767.0, std::floor(2147483647.0 / (127.0 * static_cast<double>(dim))));
  const double largest = weight * static_cast<double>(largest_entry(row, dim));
  out.scale = static_cast<float>(largest / largest_step);
  const auto s = static_cast<double>(out.scale);
  out.entries_start = query.entries.size();
  query.entries.resize(query.entries.size() + row_width(dim), 0);
  double off = 0;
  double stored = 0;
  for (std::size_t d = 0; d < dim; ++d) {
    const double x = weight * static_cast<double>(row[d]);
    const double w = s > 0 ? std::max(-largest_step, std::min(largest_step, std::nearbyint(x / s))) : 0.0;
    off += (x - s * w) * (x - s * w);
    stored += s * w * s * w;
    query.entries[out.entries_start + d] = static_cast<std::int16_t>(w);
  }
  out.norm = rounded_up(weight * std::sqrt(squared_norm(row, dim)) * (1 + 1e-9));
  out.stored = rounded_up(std::sqrt(stored) * (1 + 1e-6));
  out.off = rounded_up(std::sqrt(off) * (1 + 1e-6));
}

/// Fills in which images the query wants.
void set_thresholds(ScreenQuery& query, const Wish& wish) {
  const double steps = static_cast<double>(kProportionSteps);
  query.epsilon = wish.epsilon;
  query.filtered = wish.epsilon < kEverything;
  if (query.filtered) {
    const double least = 1.0 - wish.epsilon / 2.0;  // of the sum of minima, where proportions sum to 1
    const double off = 1.1 * kProportionsOff;
    query.possible = static_cast<std::uint16_t>(std::max(0.0, std::ceil((least - off) * steps)));
    query.certain = static_cast<std::size_t>(std::max(0.0, std::ceil((least + off) * steps)));
  }
  if (wish.terms == nullptr) return;
  query.needs = !wish.terms->needed.empty();
  query.least_needed = wish.terms->min_share * steps;
  query.bars = !wish.terms->barred.empty();
  // A share is at most its steps, and more than its steps less one.
  const auto most = static_cast<std::uint16_t>(std::floor(wish.terms->max_share * steps));
  query.possibly_barred = std::max<std::uint16_t>(1, most);
  query.certainly_barred = static_cast<std::uint16_t>(most + 3);
}

}  // namespace

bool can_be_screened(const ImageRows& query, std::size_t dim, const Wish& wish, double norm_step) {
  const std::vector<Part> parts = parts_of(query, wish.terms);
  double total = 0;
  for (const Part& p : parts) {
    if (p.row != kNoRow) total += p.weight * counted(query.centroids + p.row * dim, dim, wish);
  }
  return total < kLargestSquare && (total > 1 / kLargestSquare || total == 0) &&
         largest_terms(parts, wish, norm_step) < kLargestSquare &&
         (wish.epsilon >= kEverything || sums_to_one(query));
}

ScreenQuery make_query(const ImageRows& rows, std::size_t dim, const Wish& wish, double norm_step) {
  ScreenQuery query;
  query.rows = rows;
  query.terms = wish.terms;
  query.whole = wish.terms == nullptr || wish.terms->others != 0.0;
  query.unit_rows = has_unit_rows(wish);
  set_thresholds(query, wish);
  const std::vector<Part> parts = parts_of(rows, wish.terms);
  double total = 0;
  double norms = 0;
  double squares = 0;
  query.entries.reserve(rows.count * row_width(dim));
  for (const Part& p : parts) {
    ScreenClass c;
    c.label = p.label;
    c.needed = p.needed && query.needs;
    c.barred = p.barred;
    c.square = static_cast<float>(p.square);
    squares += std::fabs(p.square);
    if (p.row != kNoRow) {
      const float* row = rows.centroids + p.row * dim;
      if (query.filtered) c.share = proportion_steps_up(rows.proportions[p.row]);
      const double squared = squared_norm(row, dim);
      const double scale = query.unit_rows && squared > 0 ? 1 / std::sqrt(squared) : 1.0;
      if (p.weight != 0) store_row(query, c, row, dim, p.weight * scale);
      total += p.weight * counted(row, dim, wish);
      norms += p.weight * scale * std::sqrt(squared);
    }
    if (c.moves() || c.is_judged()) query.classes.push_back(c);
  }
  const double terms = largest_terms(parts, wish, norm_step);
  query.largest_terms = rounded_up(terms);
  // Norms of images are a step longer than they are, and rounded as such; their squares are off by less than
  // 4e-6 of the largest, and by two steps times the largest.
  const double rounding =
      (total + terms) * relative_slack(parts.size()) + 4e-6 * terms + std::ldexp(norms * norm_step, -18);
  const double steps = query.unit_rows ? 0.0 : squares * 2 * 65536 * norm_step * norm_step;
  query.length = rounded_down(total - rounding);
  query.slack = rounded_up(2 * rounding + 1e-6 * (total + terms) + steps);
  return query;
}

}  // namespace semcbir
