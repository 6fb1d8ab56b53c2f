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

Distances::Distances(const Kernels& kernels, const ImageRows& q, std::size_t dim, const ClassTerms* terms)
    : kernels_(kernels), q_(q), dim_(dim), terms_(terms) {
  const bool plain = terms == nullptr || (terms->weights.empty() && terms->others == 1.0);
  if (plain) {
    terms_ = nullptr;
  } else if (terms->unit_rows) {
    scale(q, scales_q_);
  }
}

double Distances::squared(const ImageRows& x) {
  if (terms_ == nullptr) return kernels_.squared_distance(q_, x, dim_);
  const Weights weights{terms_->weights.data(), terms_->weights.size(), terms_->others};
  if (!terms_->unit_rows) return kernels_.weighted_squared_distance(q_, x, dim_, weights);
  scale(x, scales_x_);
  return kernels_.scaled_squared_distance({q_, scales_q_.data()}, {x, scales_x_.data()}, dim_, weights);
}

/// Finds the scales of the rows of an image that count.
void Distances::scale(const ImageRows& image, std::vector<double>& scales) const {
  scales.resize(image.count);
  std::size_t row = 0;
  for (const ClassWeight& one : terms_->weights) {
    while (row < image.count && image.classes[row] < one.label) ++row;
    if (row == image.count) return;
    if (image.classes[row] != one.label || one.weight == 0.0) continue;
    scales[row] = unit_scale(kernels_, image.centroids + row * dim_, dim_);
  }
}

double unit_scale(const Kernels& kernels, const float* row, std::size_t dim) {
  const std::uint16_t label = 0;
  const double squared = kernels.squared_distance({1, &label, nullptr, row}, {}, dim);
  return squared == 0.0 ? 0.0 : 1.0 / std::sqrt(squared);
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
  if (out.squared == nullptr) return;
  double* squared = out.squared + q * k;
  for (std::size_t i = 0; i < n; ++i) squared[i] = ranking[i].squared;
  std::fill(squared + n, squared + k, std::numeric_limits<double>::infinity());
}

}  // namespace semcbir
