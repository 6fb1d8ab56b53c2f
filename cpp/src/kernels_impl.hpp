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
//   add_weighted(lanes, t, w): lanes + w * (t * t) with three roundings, scale(t, s): t * s.
// Zeros change no sum: a lane is never -0.

/// Adds the squares of q[d] - x[d] to lane d % 16, as `add` (of lanes and a block of differences) does it.
template <class V, class Add>
typename V::Block add_difference(typename V::Block lanes, const float* q, const float* x, std::size_t dim,
                                 const Add& add) {
  std::size_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) lanes = add(lanes, V::subtract(V::load(q + d), V::load(x + d)));
  if (d < dim) {
    lanes = add(lanes, V::subtract(V::load_first(q + d, dim - d), V::load_first(x + d, dim - d)));
  }
  return lanes;
}

/// Adds the squares of x[d] to lane d % 16: the difference from a class that the other image lacks.
template <class V, class Add>
typename V::Block add_lone(typename V::Block lanes, const float* x, std::size_t dim, const Add& add) {
  std::size_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) lanes = add(lanes, V::load(x + d));
  if (d < dim) lanes = add(lanes, V::load_first(x + d, dim - d));
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

/// Adds the squared differences of all classes, ascending. `add_class` is called with the label and a
/// function that adds the class's, given how.
template <class V, class AddClass>
double sum_over_classes(const ImageRows& q, const ImageRows& x, std::size_t dim, const AddClass& add_class) {
  typename V::Block lanes = V::zero();
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < q.count || j < x.count) {
    const std::uint32_t class_q = i < q.count ? q.classes[i] : kNoClass;
    const std::uint32_t class_x = j < x.count ? x.classes[j] : kNoClass;
    const float* centroid_q = q.centroids + i * dim;
    const float* centroid_x = x.centroids + j * dim;
    add_class(class_q < class_x ? class_q : class_x, [&](const auto& add) {
      if (class_q == class_x) {
        lanes = add_difference<V>(lanes, centroid_q, centroid_x, dim, add);
      } else {
        lanes = add_lone<V>(lanes, class_q < class_x ? centroid_q : centroid_x, dim, add);
      }
    });
    i += class_q <= class_x ? 1 : 0;
    j += class_x <= class_q ? 1 : 0;
  }
  return sum_lanes<V>(lanes);
}

/// ||S(q) - S(x)||^2 over all classes and entries, a class that is absent being zeros: classes ascending,
/// entries ascending, in double, spread over 16 lanes that are summed as a tree at the end.
template <class V>
double squared_distance(const ImageRows& q, const ImageRows& x, std::size_t dim) {
  using Block = typename V::Block;
  const auto add = [](const Block& lanes, const Block& t) { return V::add_square(lanes, t); };
  return sum_over_classes<V>(q, x, dim, [&](std::uint32_t, const auto& add_squares) { add_squares(add); });
}

/// The sum over all classes of weight ||S_c(q) - S_c(x)||^2, in the order of squared_distance; with weights
/// of 1 it has the same bits.
template <class V>
double weighted_squared_distance(const ImageRows& q, const ImageRows& x, std::size_t dim,
                                 const Weights& weights) {
  using Block = typename V::Block;
  std::size_t w = 0;
  return sum_over_classes<V>(q, x, dim, [&](std::uint32_t label, const auto& add_squares) {
    while (w < weights.count && weights.classes[w].label < label) ++w;
    const bool given = w < weights.count && weights.classes[w].label == label;
    const double weight = given ? weights.classes[w].weight : weights.others;
    if (weight == 0.0) return;
    add_squares([&](const Block& lanes, const Block& t) { return V::add_weighted(lanes, t, weight); });
  });
}

/// Row `label` of an image, or null; `at` moves on from call to call with ascending labels.
const float* row_of(const ImageRows& image, std::uint32_t label, std::size_t dim, std::size_t& at) {
  while (at < image.count && image.classes[at] < label) ++at;
  return at < image.count && image.classes[at] == label ? image.centroids + at * dim : nullptr;
}

/// The sum over the classes with a weight of weight ||s_c S_c(q) - t_c S_c(x)||^2, s and t being the scales:
/// classes ascending, entries ascending, in double, spread over lanes as in squared_distance.
template <class V>
double scaled_squared_distance(const ScaledRows& q, const ScaledRows& x, std::size_t dim,
                               const Weights& weights) {
  using Block = typename V::Block;
  Block lanes = V::zero();
  std::size_t i = 0;
  std::size_t j = 0;
  for (std::size_t w = 0; w < weights.count; ++w) {
    const double weight = weights.classes[w].weight;
    if (weight == 0.0) continue;
    const float* row_q = row_of(q.rows, weights.classes[w].label, dim, i);
    const float* row_x = row_of(x.rows, weights.classes[w].label, dim, j);
    const auto entries = [&](const float* row, double scale, std::size_t d) {
      if (row == nullptr) return V::zero();
      return V::scale(d + kLanes <= dim ? V::load(row + d) : V::load_first(row + d, dim - d), scale);
    };
    if (row_q == nullptr && row_x == nullptr) continue;
    const double scale_q = row_q == nullptr ? 0.0 : q.scales[i];
    const double scale_x = row_x == nullptr ? 0.0 : x.scales[j];
    for (std::size_t d = 0; d < dim; d += kLanes) {
      const Block t = V::subtract(entries(row_q, scale_q, d), entries(row_x, scale_x, d));
      lanes = V::add_weighted(lanes, t, weight);
    }
  }
  return sum_lanes<V>(lanes);
}

}  // namespace
}  // namespace semcbir
