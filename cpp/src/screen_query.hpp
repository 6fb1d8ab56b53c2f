// SPDX-License-Identifier: MIT
// Queries as screens see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "semcbir/class_terms.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// A class that a query asks about. What is said of its row is said of weight times the query's row.
struct ScreenClass {
  std::uint16_t label = 0;
  std::uint16_t share = 0;  ///< of the query, in steps; 0 without a filter
  bool needed = false;      ///< by the terms
  bool barred = false;      ///< likewise
  float norm = 0;           ///< rounded up; 0: the row adds nothing
  float square = 0;         ///< how many times |x_c|^2 counts, beyond what it does in ScreenQuery::whole
  float scale = 0;          ///< what one step of the row's entries is
  float stored = 0;         ///< the norm of what the steps stand for
  float off = 0;            ///< the norm of what they leave out
  std::size_t entries_start = 0;  ///< in ScreenQuery::entries

  bool moves() const { return norm != 0.0F || square != 0.0F; }
  bool is_judged() const { return share != 0 || needed || barred; }
};

/// A query in the steps of screens.
struct ScreenQuery {
  ImageRows rows;
  const ClassTerms* terms = nullptr;
  std::vector<ScreenClass> classes;  ///< labels ascending
  bool whole = true;                 ///< |x|^2 counts, of all classes
  bool unit_rows = false;            ///< rows count at length 1; `square` is then the weight
  float length = 0;                  ///< the weighted |q|^2 less all rounding
  float slack = 0;                   ///< what rounding can add to a bound from above
  float largest_terms = 0;           ///< what classes with weights of their own can come to, beyond lengths
  std::vector<std::int16_t> entries;

  // Which images it wants. Sums of steps below `possible`: surely not; from `certain` on surely.
  bool filtered = false;
  double epsilon = 0;
  std::uint16_t possible = 0;
  std::size_t certain = 0;  ///< for each class more by one
  bool needs = false;
  double least_needed = 0;  ///< the least share, in steps
  bool bars = false;
  std::uint16_t possibly_barred = 0;
  std::uint16_t certainly_barred = 0;

  /// Whether some images are penalised.
  bool penalizes() const { return filtered || needs; }
  /// Whether it takes a look at images to say how many pass.
  bool counts() const { return penalizes() || bars; }
};

/// What a query asks for.
struct Wish {
  double epsilon;
  const ClassTerms* terms;
};

/// Whether a query's bounds can be computed: lengths, and for a filter shares, as real images have them.
/// `norm_step` is the largest of the screens.
bool can_be_screened(const ImageRows& query, std::size_t dim, const Wish& wish, double norm_step);

/// `norm_step` is the largest of the screens.
ScreenQuery make_query(const ImageRows& rows, std::size_t dim, const Wish& wish, double norm_step);

}  // namespace semcbir
