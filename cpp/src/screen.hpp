// SPDX-License-Identifier: MIT
// A narrow copy of signatures that finds candidates fast: its bounds are wrong in one direction only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "semcbir/interruption.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Images of a block: alike ones share blocks, and a block's columns stay in the cache.
constexpr std::size_t kBlockImages = 256;
/// Rows of a tile, whose products with a query are computed together.
constexpr std::size_t kTileRows = 16;
/// Masks of 16 bits for the images of a block.
constexpr std::size_t kMasks = kBlockImages / kTileRows;
/// Entries of a row that lie side by side in a tile.
constexpr std::size_t kTileGroup = 4;
/// Classes that fewer images of a block have get no column there.
constexpr std::size_t kFewestForColumn = 16;
constexpr std::uint32_t kNoColumn = 0xffffffffU;

/// The rows of one class in a block.
struct ScreenClass {
  std::uint16_t label;
  std::uint16_t rows;
  std::uint16_t largest_proportion;  ///< in steps
  std::uint16_t largest_norm;        ///< in steps of the screen
  float largest_scale;
  std::uint32_t first;   ///< in the block's columns by row
  std::uint32_t column;  ///< number of the class's column over all images of the block, or kNoColumn
};

/// Up to kBlockImages images, class by class. Row r of a class belongs to the image at places[first + r].
struct ScreenBlock {
  std::size_t first = 0;  ///< in the screen's order
  std::size_t images = 0;
  std::vector<ScreenClass> classes;  ///< labels ascending
  std::vector<float> lengths;        ///< by image: |x|^2 less all rounding; -infinity: always a candidate
  float slack = 0;                   ///< what rounding can add to a bound from above, over all images
  float shortest = 0;                ///< the smallest of lengths
  std::vector<std::uint8_t> places;
  std::vector<std::uint16_t> proportions;  ///< by row, in steps, rounded up
  std::vector<std::uint16_t> norms;        ///< by row, in steps of the screen, rounded up
  std::vector<float> scales;               ///< by row: what one step of its entries is
  std::vector<std::uint16_t> columns;      ///< two for each class that has them: proportions, then norms
  std::vector<std::uint8_t> entries;       ///< tiles, see ScreenLayout
  std::vector<std::uint16_t> unsure;       ///< by image / 16, a bit each: eq. 1 must be computed
};

/// A class over all blocks: columns, or entries of those that have it.
struct ScreenSummary {
  std::uint16_t label;
  std::uint32_t first;    ///< in entries
  std::uint32_t entries;  ///< 0 where there are columns
  std::size_t column;     ///< where the columns start
};

/// What a summary says of a block that has its class.
struct ScreenEntry {
  std::uint32_t block;
  std::uint16_t number;              ///< of the class in the block
  std::uint16_t largest_proportion;  ///< in steps
  std::uint16_t largest_norm;        ///< in steps of the screen
};

/// The screen of a view's images, in an order of its own.
struct Screen {
  std::size_t dim = 0;
  std::size_t groups = 0;            ///< of kTileGroup entries in a row
  std::vector<std::uint32_t> order;  ///< which image of the view is at each place
  std::vector<ScreenBlock> blocks;
  // What summaries say of the blocks: a block of blocks, so to speak.
  std::vector<ScreenSummary> summaries;        ///< labels ascending
  std::vector<std::uint16_t> summary_columns;  ///< of a class: largest proportions, largest norms, and one
                                               ///< more than its number in the block, 0 where it is absent
  std::vector<ScreenEntry> summary_entries;    ///< of each class, blocks ascending
  std::vector<float> shortest;                 ///< of each block, infinity up to padded_blocks()
  std::vector<std::uint8_t> unsure;            ///< of each block: whether it has images that are
  float norm_step = 1;
  float entry_error = 0;  ///< the largest ||x - s z|| / s of a row x that is stored as z with scale s
  float entry_norm = 0;   ///< the largest ||x|| / s

  /// Where row r of class c starts in its block's entries, and how far apart its groups are.
  /// Tiles are full but for a class's last one, which is as narrow as its rows.
  std::size_t tile_start(const ScreenClass& c, std::size_t tile) const {
    return (c.first + tile * kTileRows) * groups * kTileGroup;
  }

  /// The number of blocks, rounded up to a multiple of what kernels take.
  std::size_t padded_blocks() const { return (blocks.size() + kTileRows - 1) / kTileRows * kTileRows; }

  /// Bytes of memory.
  std::size_t bytes() const;
};

/// Builds the screen of a view with centroids whose rows have passed check_rows.
Screen build_screen(const SignatureView& view, std::size_t dim, int threads, Interruption& interruption);

}  // namespace semcbir
