// SPDX-License-Identifier: MIT
// Screens: narrow copies of signatures, from which bounds of distances are computed that are wrong in one
// direction only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "screen_block.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// A class over all blocks: columns, or entries of those that have it.
struct ScreenSummary {
  std::uint16_t label;
  std::uint32_t entries;  ///< 0 where there are columns
  std::size_t first;      ///< in the screen's entries, or of its columns and parts by block
};

/// What a summary says of a block that has its class.
struct ScreenEntry {
  std::uint32_t block;
  std::uint16_t largest_share;  ///< in steps
  std::uint16_t largest_norm;   ///< in steps of the screen
  ScreenPart part;
};

/// The screen of a view's images, in an order of its own.
struct Screen {
  std::size_t dim = 0;
  std::size_t width = 0;             ///< bytes of a row
  std::vector<std::uint32_t> order;  ///< which image of the view is at each place
  std::vector<ScreenBlock> blocks;
  AlignedBytes memory;  ///< of all blocks
  // What summaries say of the blocks: a block of blocks, so to speak.
  std::vector<ScreenSummary> summaries;  ///< labels ascending
  std::vector<std::uint16_t> shares;     ///< of a class the largest in each block, in steps; of all
  std::vector<std::uint16_t> norms;      ///< likewise, in steps of the screen
  std::vector<ScreenPart> parts;         ///< likewise
  std::vector<ScreenEntry> entries;      ///< of each class, blocks ascending
  std::vector<float> shortest;           ///< of each block, infinity up to padded_blocks()
  std::vector<std::uint8_t> unsure;      ///< of each block: whether it has images that are
  float norm_step = 1;

  /// The number of blocks, rounded up to a multiple of what kernels take.
  std::size_t padded_blocks() const { return rounded_up_to(blocks.size(), kMaskBits); }

  /// Bytes of memory.
  std::size_t bytes() const;
};

/// Builds the screen of a view with centroids whose rows have passed check_rows.
Screen build_screen(const SignatureView& view, std::size_t dim, int threads, Interruption& interruption);

}  // namespace semcbir
