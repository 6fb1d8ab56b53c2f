// SPDX-License-Identifier: MIT
// Weighted means of whole images' rows: neighbourhood smoothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "semcbir/interruption.hpp"
#include "semcbir/signature.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Images with centroids and their numbers of keypoints. Owns nothing.
struct CountedView {
  SignatureView view;                     ///< must have passed check_rows
  const std::uint32_t* counts = nullptr;  ///< rows
};

/// What is averaged: image i with its neighbours, nearest first. Owns nothing.
struct BlendInput {
  CountedView images;
  CountedView collection;                    ///< what the neighbours are images of
  const std::int64_t* neighbours = nullptr;  ///< images x width positions in the collection; below 0: none,
                                             ///< and none after it in that row
  std::size_t width = 0;                     ///< at most k
  std::size_t k = 0;                         ///< the image weighs k + 1, its r-th neighbour k + 1 - r
  std::size_t dim = 0;                       ///< D
  bool own_proportions = false;  ///< proportions are the image's own, 0 for a class of its neighbours alone
};

/// Writes the offsets (images + 1) of the rows that blend() makes: per image the union of the classes that it
/// and its neighbours have. Throws std::invalid_argument for a neighbour that the collection does not have
/// and for bad threads, InterruptedError where `interrupted` says so.
void blend_offsets(const BlendInput& input, int threads, std::int64_t* offsets,
                   const Interrupted& interrupted = {});

/// Writes the other columns, whose offsets must be those of blend_offsets.
///
/// Proportions and centroids are sums of weight times value in double, the image first and then its
/// neighbours by rank, each divided by the sum of the weights of all of them and rounded once to float; a
/// class that one of them lacks adds zeros. Counts are summed, up to the largest that there is.
void blend(const BlendInput& input, int threads, const SignatureColumns& columns,
           const Interrupted& interrupted = {});

}  // namespace semcbir
