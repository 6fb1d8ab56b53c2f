// SPDX-License-Identifier: MIT
// The distance kernel, written once for all instruction sets and included by the kernels_*.cpp files only.
//
// Those files are compiled with flags of their own, so everything here and there has internal linkage: a
// shared inline function compiled for AVX2 could win at link time and run on a processor without it. For the
// same reason they call nothing of the standard library.
#pragma once

#include <cstddef>
#include <cstdint>

#include "exact.hpp"
#include "kernels.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {
namespace {

/// Lanes that a sum is spread over. Part of the definition of the distance: entry d of a class goes to
/// lane d % 16.
constexpr std::size_t kLanes = 16;

/// Above every class: stands for the end of an image's rows.
constexpr std::uint32_t kNoClass = 0x10000;

// A level V has a type V::Block of 16 doubles and, on it,
//   zero(), load(p): 16 floats widened, load_first(p, n): n < 16 floats widened and zeros,
//   subtract(a, b), add_square(lanes, t): lanes + t * t with two roundings, store(block, double[16]),
//   add_weighted(lanes, t, w): lanes + w * (t * t) with three roundings.
// Zeros change no sum: a lane is never -0.

/// Adds the squares of q[d] - x[d] to lane d % 16.
template <class V>
typename V::Block add_difference(typename V::Block lanes, const float* q, const float* x, std::size_t dim) {
  std::size_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) {
    lanes = V::add_square(lanes, V::subtract(V::load(q + d), V::load(x + d)));
  }
  if (d < dim) {
    lanes = V::add_square(lanes, V::subtract(V::load_first(q + d, dim - d), V::load_first(x + d, dim - d)));
  }
  return lanes;
}

/// Adds the squares of x[d] to lane d % 16: the difference from a class that the other image lacks.
template <class V>
typename V::Block add_lone(typename V::Block lanes, const float* x, std::size_t dim) {
  std::size_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) lanes = V::add_square(lanes, V::load(x + d));
  if (d < dim) lanes = V::add_square(lanes, V::load_first(x + d, dim - d));
  return lanes;
}

/// Adds the squares of q[d] - x[d], times `weight`; without x, or q, of that alone.
template <class V>
typename V::Block add_weighted_row(typename V::Block lanes, const float* q, const float* x, std::size_t dim,
                                   double weight) {
  const float* only = q != nullptr ? q : x;
  const bool both = q != nullptr && x != nullptr;
  std::size_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) {
    const typename V::Block t = both ? V::subtract(V::load(q + d), V::load(x + d)) : V::load(only + d);
    lanes = V::add_weighted(lanes, t, weight);
  }
  if (d < dim) {
    const std::size_t n = dim - d;
    const typename V::Block t =
        both ? V::subtract(V::load_first(q + d, n), V::load_first(x + d, n)) : V::load_first(only + d, n);
    lanes = V::add_weighted(lanes, t, weight);
  }
  return lanes;
}

template <class V>
double sum_lanes(typename V::Block lanes) {
  double sums[kLanes];
  V::store(lanes, sums);
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

/// ||S(q) - S(x)||^2 over all classes and entries, a class that is absent being zeros: classes ascending,
/// entries ascending, in double, spread over 16 lanes that are summed as a tree at the end.
template <class V>
double squared_distance(const ImageRows& q, const ImageRows& x, std::size_t dim) {
  typename V::Block lanes = V::zero();
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < q.count || j < x.count) {
    const std::uint32_t class_q = i < q.count ? q.classes[i] : kNoClass;
    const std::uint32_t class_x = j < x.count ? x.classes[j] : kNoClass;
    const float* centroid_q = q.centroids + i * dim;
    const float* centroid_x = x.centroids + j * dim;
    if (class_q == class_x) {
      lanes = add_difference<V>(lanes, centroid_q, centroid_x, dim);
    } else {
      lanes = add_lone<V>(lanes, class_q < class_x ? centroid_q : centroid_x, dim);
    }
    i += class_q <= class_x ? 1 : 0;
    j += class_x <= class_q ? 1 : 0;
  }
  return sum_lanes<V>(lanes);
}

/// The sum over all classes of weight ||S_c(q) - S_c(x)||^2, in the order of squared_distance; with weights
/// of 1 it has the same bits.
template <class V>
double weighted_squared_distance(const ImageRows& q, const ImageRows& x, std::size_t dim,
                                 const Weights& weights) {
  typename V::Block lanes = V::zero();
  std::size_t i = 0;
  std::size_t j = 0;
  std::size_t w = 0;
  while (i < q.count || j < x.count) {
    const std::uint32_t class_q = i < q.count ? q.classes[i] : kNoClass;
    const std::uint32_t class_x = j < x.count ? x.classes[j] : kNoClass;
    const std::uint32_t label = class_q < class_x ? class_q : class_x;
    while (w < weights.count && weights.classes[w].label < label) ++w;
    const bool given = w < weights.count && weights.classes[w].label == label;
    const double weight = given ? weights.classes[w].weight : weights.others;
    if (weight != 0.0) {
      const float* centroid_q = class_q == label ? q.centroids + i * dim : nullptr;
      const float* centroid_x = class_x == label ? x.centroids + j * dim : nullptr;
      lanes = add_weighted_row<V>(lanes, centroid_q, centroid_x, dim, weight);
    }
    i += class_q == label ? 1 : 0;
    j += class_x == label ? 1 : 0;
  }
  return sum_lanes<V>(lanes);
}

}  // namespace
}  // namespace semcbir
