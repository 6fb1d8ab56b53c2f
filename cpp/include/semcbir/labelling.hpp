// SPDX-License-Identifier: MIT
// From a network's scores to a label map at the photo's resolution.
#pragma once

#include <cstddef>
#include <cstdint>

namespace semcbir {

/// Scores of `channels` classes on a lattice of height x width points, channel by channel. Owns nothing.
struct Lattice {
  const float* scores = nullptr;
  std::size_t channels = 0;
  std::size_t height = 0;
  std::size_t width = 0;
  const std::uint8_t* masked = nullptr;  ///< one per channel: 1 if it never wins
};

/// Positions on one axis of a lattice, in its points: non-decreasing, from 0 to the last point.
struct Positions {
  const double* values = nullptr;
  std::size_t count = 0;
};

/// Writes to `labels` (rows.count x columns.count) the channel with the highest score at each position,
/// interpolated bilinearly; of equal scores the lowest channel's.
///
/// In a cell of the lattice with the scores a, b, c, d (left and right above, left and right below) the score
/// at (x, y) from its upper left corner is a + (b - a) x + (c - a) y + (d - c - (b - a)) (y x), added from
/// left to right in float. A score that is not a number, or below all numbers, wins nothing; if none is
/// above, channel 0 does.
///
/// Throws std::invalid_argument for positions that are not as described, for no channel, more than 65536, or
/// no point, and if scores that matter are not finite: those of a channel that could win in a cell.
void upsampled_argmax(const Lattice& lattice, const Positions& rows, const Positions& columns,
                      std::uint16_t* labels);

}  // namespace semcbir
