// SPDX-License-Identifier: MIT
// The definitions again, written as simply as possible, for the tests to compare results with.
#pragma once

#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <set>

#include "exact.hpp"
#include "semcbir/signature_view.hpp"

namespace test {

/// Row of class c, or the number of rows where it is absent.
inline std::size_t row_of(const semcbir::ImageRows& image, int c) {
  std::size_t row = 0;
  while (row < image.count && image.classes[row] != c) ++row;
  return row;
}

inline std::set<int> union_of_classes(const semcbir::ImageRows& q, const semcbir::ImageRows& x) {
  std::set<int> classes(q.classes, q.classes + q.count);
  classes.insert(x.classes, x.classes + x.count);
  return classes;
}

inline double reference_squared_distance(const semcbir::ImageRows& q, const semcbir::ImageRows& x,
                                         std::size_t dim) {
  double lane[16] = {};
  for (const int c : union_of_classes(q, x)) {
    const std::size_t i = row_of(q, c);
    const std::size_t j = row_of(x, c);
    for (std::size_t d = 0; d < dim; ++d) {
      const double a = i < q.count ? static_cast<double>(q.centroids[i * dim + d]) : 0.0;
      const double b = j < x.count ? static_cast<double>(x.centroids[j * dim + d]) : 0.0;
      const double square = (a - b) * (a - b);
      lane[d % 16] += square;
    }
  }
  for (const int s : {8, 4, 2, 1}) {
    for (int i = 0; i < s; ++i) lane[i] += lane[i + s];
  }
  return lane[0];
}

inline double reference_histogram_distance(const semcbir::ImageRows& q, const semcbir::ImageRows& x) {
  double sum = 0.0;
  for (const int c : union_of_classes(q, x)) {
    const std::size_t i = row_of(q, c);
    const std::size_t j = row_of(x, c);
    const double a = i < q.count ? static_cast<double>(q.proportions[i]) : 0.0;
    const double b = j < x.count ? static_cast<double>(x.proportions[j]) : 0.0;
    sum += std::fabs(a - b);
  }
  return sum;
}

}  // namespace test
