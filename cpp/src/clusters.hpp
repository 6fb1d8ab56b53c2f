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
constexpr std::size_t kSketch = 32;

/// A sketch of a signature: sums of its entries with pseudo-random signs, by entry number modulo kSketch, and
/// of its proportions likewise. Alike signatures have alike sketches; nothing else may be concluded from
/// them.
void sketch(const ImageRows& image, std::size_t dim, float share_weight, float out[kSketch]);

/// Images in an order in which runs of alike ones are blocks, and within those runs of 16 are alike.
struct Clusters {
  std::vector<std::uint32_t> order;
  std::vector<std::size_t> ends;  ///< of the blocks
};

/// Clusters images into blocks of at most `block`; `sketches` are those of all images.
Clusters clustered(const std::vector<float>& sketches, std::size_t block, int threads,
                   Interruption& interruption);

}  // namespace semcbir
