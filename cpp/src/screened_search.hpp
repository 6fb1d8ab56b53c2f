// SPDX-License-Identifier: MIT
// Search that looks at screens first and computes distances only of images that may be among the first k.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "screen.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/searcher.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// A segment of images and its screen.
struct ScreenedSegment {
  const SignatureView* view;
  const Screen* screen;
  const std::uint16_t* live;  ///< live_masks of the two
  std::int64_t images;        ///< that are not removed
};

/// A bit for each place of a screen's order: whether its image is not removed.
std::vector<std::uint16_t> live_masks(const SignatureView& view, const Screen& screen);

/// The largest step of norms; 0 without segments.
double largest_norm_step(const std::vector<ScreenedSegment>& segments);

/// Searches like Searcher::search, for queries that can all be screened.
void screened_search(const std::vector<ScreenedSegment>& segments, std::size_t dim,
                     const std::vector<ImageRows>& queries, const SearchOptions& options,
                     const std::vector<std::size_t>& numbers, const SearchOutput& output,
                     Interruption& interruption);

}  // namespace semcbir
