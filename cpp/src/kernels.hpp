// SPDX-License-Identifier: MIT
// The table of functions that are written once for every instruction set.
#pragma once

#include <cstddef>

#include "semcbir/signature_view.hpp"

namespace semcbir {

/// What is written once per instruction set.
struct Kernels {
  /// Squared L2 distance of two signatures with `dim` entries per class; see squared_distance in
  /// kernels_impl.hpp.
  double (*squared_distance)(const ImageRows& q, const ImageRows& x, std::size_t dim);
};

// Null where the level is not compiled in.
extern const Kernels* const kernels_baseline;
extern const Kernels* const kernels_avx2;
extern const Kernels* const kernels_avx512;
extern const Kernels* const kernels_neon;

/// Kernels of the level in use.
const Kernels& active_kernels();

}  // namespace semcbir
