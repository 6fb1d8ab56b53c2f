// SPDX-License-Identifier: MIT
// What the summaries of screens say of all blocks for one query, before any of them is looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.hpp"
#include "screen.hpp"
#include "screen_query.hpp"
#include "screened_search.hpp"
#include "visit.hpp"

namespace semcbir {

/// Outlines segments for one query after another.
class Outliner {
 public:
  Outliner(const std::vector<ScreenedSegment>& segments, const Kernels& kernels)
      : segments_(segments), kernels_(kernels) {}

  /// Bounds the blocks of a segment: `least`, and if the query counts what passes, `passes`: whether a block
  /// may hold such images; of its padded_blocks() each. Returns the classes that matter and the segment has,
  /// those of the query's longest rows first.
  std::vector<Common> outline(std::size_t segment, const ScreenQuery& query, float* least,
                              std::uint8_t* passes);

  /// Bytes that `outline` reads.
  std::int64_t outline_bytes(std::size_t segment, const std::vector<Common>& common) const;

 private:
  void bound_blocks(const Screen& screen, const std::vector<Common>& common, const ScreenQuery& query,
                    float* least);
  void judge_blocks(const Screen& screen, const std::vector<Common>& common, const ScreenQuery& query,
                    std::uint8_t* passes);

  const std::vector<ScreenedSegment>& segments_;
  const Kernels& kernels_;
  // Reused, so that segments cost no allocations.
  std::vector<const std::uint16_t*> columns_;
  std::vector<std::uint16_t> values_;
  std::vector<float> factors_;
  std::vector<Parabola> parabolas_;
  std::vector<std::uint16_t> minima_;
  std::vector<float> sums_;
};

}  // namespace semcbir
