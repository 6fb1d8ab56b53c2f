// SPDX-License-Identifier: MIT
// What every way of searching does with its candidates.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels.hpp"
#include "semcbir/class_terms.hpp"
#include "semcbir/searcher.hpp"
#include "semcbir/signature_view.hpp"
#include "top_k.hpp"

namespace semcbir {

/// Eq. 1 is at most 2, up to rounding: an epsilon from there on filters nothing.
constexpr double kEverything = 2.0;

/// A distance that is NaN, which damaged data can cause, counts as infinity.
double nan_to_infinity(double x);

/// The threshold of the q-th query.
double epsilon_of(const SearchOptions& options, std::size_t q);

/// Squared distances of images from one query, with the weights of the terms, if there are any.
class Distances {
 public:
  Distances(const Kernels& kernels, const ImageRows& q, std::size_t dim, const ClassTerms* terms);

  /// Not for two threads at once.
  double squared(const ImageRows& x);

 private:
  void scale(const ImageRows& image, std::vector<double>& scales) const;

  const Kernels& kernels_;
  ImageRows q_;
  std::size_t dim_;
  const ClassTerms* terms_;
  std::vector<double> scales_q_;  // 1 / length of the rows that count
  std::vector<double> scales_x_;
};

/// 1 / |row|, 0 for a null row; |row|^2 in the lanes of the distance.
double unit_scale(const Kernels& kernels, const float* row, std::size_t dim);

/// Writes the first k candidates of query q, then -1 and infinity in place of missing ones.
void write_ranking(const std::vector<Candidate>& ranking, std::size_t q, std::size_t k,
                   const SearchOutput& out);

}  // namespace semcbir
