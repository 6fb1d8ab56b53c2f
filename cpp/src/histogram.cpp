// SPDX-License-Identifier: MIT
#include "semcbir/histogram.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "exact.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/parallel.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {
namespace {

constexpr std::size_t kImagesPerTask = 4096;

}  // namespace

double histogram_distance(const ImageRows& q, const ImageRows& x) {
  double sum = 0.0;
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < q.count && j < x.count) {
    if (q.classes[i] == x.classes[j]) {
      sum += std::fabs(static_cast<double>(q.proportions[i++]) - static_cast<double>(x.proportions[j++]));
    } else if (q.classes[i] < x.classes[j]) {
      sum += std::fabs(static_cast<double>(q.proportions[i++]));
    } else {
      sum += std::fabs(static_cast<double>(x.proportions[j++]));
    }
  }
  for (; i < q.count; ++i) sum += std::fabs(static_cast<double>(q.proportions[i]));
  for (; j < x.count; ++j) sum += std::fabs(static_cast<double>(x.proportions[j]));
  return sum;
}

void histogram_distances(const SignatureView& q, const SignatureView& x, double* out, int threads,
                         const Interrupted& interrupted) {
  Interruption interruption(interrupted);
  const std::size_t blocks = divide_up(x.images, kImagesPerTask);
  const auto compare = [&](std::size_t task) {
    const std::size_t i = task / blocks;
    const std::size_t first = task % blocks * kImagesPerTask;
    const std::size_t last = std::min(first + kImagesPerTask, x.images);
    const ImageRows query = image_rows(q, i, 0);
    for (std::size_t j = first; j < last; ++j) {
      out[i * x.images + j] = histogram_distance(query, image_rows(x, j, 0));
    }
  };
  parallel_for(q.images * blocks, threads, compare, &interruption);
}

}  // namespace semcbir
