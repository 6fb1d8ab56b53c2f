// SPDX-License-Identifier: MIT
#include "semcbir/weighting.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "exact.hpp"
#include "kernels.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/parallel.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {
namespace {

constexpr std::size_t kRowsPerTask = 1024;

/// Writes row i at `length`.
void weight_row(const Rows& rows, std::size_t i, double length, const Kernels& kernels, float* out) {
  const float* centroid = rows.centroids + i * rows.dim;
  const ImageRows row{1, rows.classes + i, rows.proportions + i, centroid};
  const double norm = std::sqrt(kernels.squared_distance(row, ImageRows{}, rows.dim));
  const double scale = norm > 0.0 ? length / norm : 0.0;
  for (std::size_t d = 0; d < rows.dim; ++d) {
    out[i * rows.dim + d] = static_cast<float>(scale * static_cast<double>(centroid[d]));
  }
}

}  // namespace

void weight_rows(const Rows& rows, std::size_t n_classes, double whole_share, float* out, int threads,
                 const Interrupted& interrupted) {
  if (!(whole_share >= 0.0 && whole_share <= 1.0)) {
    throw std::invalid_argument("whole_share: expected 0 to 1, got " + std::to_string(whole_share));
  }
  Interruption interruption(interrupted);
  const Kernels& kernels = active_kernels();
  const double of_whole = std::sqrt(whole_share);
  const double of_classes = std::sqrt(1.0 - whole_share);
  const auto weight = [&](std::size_t task) {
    const std::size_t end = std::min((task + 1) * kRowsPerTask, rows.count);
    for (std::size_t i = task * kRowsPerTask; i < end; ++i) {
      const double share = std::sqrt(static_cast<double>(rows.proportions[i]));
      weight_row(rows, i, rows.classes[i] == n_classes ? of_whole : of_classes * share, kernels, out);
    }
  };
  parallel_for(divide_up(rows.count, kRowsPerTask), threads, weight, &interruption);
}

}  // namespace semcbir
