// SPDX-License-Identifier: MIT
#include "ranking.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "exact.hpp"

namespace semcbir {

double nan_to_infinity(double x) { return std::isnan(x) ? std::numeric_limits<double>::infinity() : x; }

double epsilon_of(const SearchOptions& options, std::size_t q) {
  return options.epsilons == nullptr ? options.epsilon : options.epsilons[q];
}

double squared_distance(const Kernels& kernels, const ImageRows& q, const ImageRows& x, std::size_t dim,
                        const ClassTerms* terms) {
  if (terms == nullptr || (terms->weights.empty() && terms->others == 1.0)) {
    return kernels.squared_distance(q, x, dim);
  }
  const Weights weights{terms->weights.data(), terms->weights.size(), terms->others};
  return kernels.weighted_squared_distance(q, x, dim, weights);
}

void write_ranking(const std::vector<Candidate>& ranking, std::size_t q, std::size_t k,
                   const SearchOutput& out) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::int64_t* ids = out.ids + q * k;
  float* distances = out.distances + q * k;
  float* histogram_distances = out.histogram_distances + q * k;
  const std::size_t n = std::min(k, ranking.size());
  for (std::size_t i = 0; i < n; ++i) {
    ids[i] = ranking[i].id;
    distances[i] = static_cast<float>(std::sqrt(ranking[i].squared));
    histogram_distances[i] = static_cast<float>(ranking[i].histogram);
  }
  std::fill(ids + n, ids + k, std::int64_t{-1});
  std::fill(distances + n, distances + k, kInfinity);
  std::fill(histogram_distances + n, histogram_distances + k, kInfinity);
}

}  // namespace semcbir
