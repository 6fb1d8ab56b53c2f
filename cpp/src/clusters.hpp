// SPDX-License-Identifier: MIT
// An order of images in which neighbours are alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "semcbir/interruption.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Numbers in a sketch.
constexpr std::size_t kSketch = 16;

/// A sketch of a signature: sums of its entries with pseudo-random signs, by entry number modulo kSketch, and
/// of its proportions likewise. Alike signatures have alike sketches; nothing else may be concluded from
/// them.
void sketch(const ImageRows& image, std::size_t dim, float out[kSketch]);

/// The images of a view in an order that puts alike ones into the same runs of `block`, and within those into
/// the same runs of 16. `sketches` are those of all images.
std::vector<std::uint32_t> clustered_order(const std::vector<float>& sketches, std::size_t block, int threads,
                                           Interruption& interruption);

}  // namespace semcbir
