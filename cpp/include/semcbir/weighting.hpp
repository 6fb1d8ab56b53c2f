// SPDX-License-Identifier: MIT
// Weights the rows of signatures by the share of their class.
#pragma once

#include <cstddef>
#include <cstdint>

#include "semcbir/interruption.hpp"

namespace semcbir {

/// Rows of signatures, whichever images they belong to. Owns nothing.
struct Rows {
  std::size_t count = 0;
  const std::uint16_t* classes = nullptr;
  const float* proportions = nullptr;
  const float* centroids = nullptr;  ///< count x dim
  std::size_t dim = 0;
};

/// Writes to `out` (count x dim) each row at a length of its own: sqrt(1 - whole_share) sqrt(P_c) for a
/// class, sqrt(whole_share) for a whole row, whose class is `n_classes`. A null vector stays null.
///
/// In double: the norm is the root of the squared distance from the null vector (16 lanes, see
/// kernels_impl.hpp), the length is divided by it, and each entry is multiplied by that and rounded to float.
/// Throws std::invalid_argument unless whole_share is in [0, 1], InterruptedError where `interrupted` says
/// so.
void weight_rows(const Rows& rows, std::size_t n_classes, double whole_share, float* out, int threads,
                 const Interrupted& interrupted = {});

}  // namespace semcbir
