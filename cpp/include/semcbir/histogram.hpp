// SPDX-License-Identifier: MIT
// The distance between two semantic histograms (eq. 1), and all distances between two sets of images.
#pragma once

#include "semcbir/interruption.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Distance between two semantic histograms, eq. 1: sum over the classes of |P_c(q) - P_c(x)|, in [0, 2].
/// In double, over the union of the classes in ascending order.
double histogram_distance(const ImageRows& q, const ImageRows& x);

/// All distances between two sets of images: out[i * x.images + j] is that of image i of q and image j of x.
/// Throws InterruptedError where `interrupted` says so.
void histogram_distances(const SignatureView& q, const SignatureView& x, double* out, int threads,
                         const Interrupted& interrupted = {});

}  // namespace semcbir
