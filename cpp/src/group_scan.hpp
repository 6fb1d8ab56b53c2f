// SPDX-License-Identifier: MIT
// Which blocks of screens the queries of a group look at, and in which order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scanner.hpp"
#include "screen_query.hpp"
#include "screened_search.hpp"
#include "semcbir/interruption.hpp"

namespace semcbir {

/// A block of a segment; `at` counts the padded blocks of all segments.
struct BlockAt {
  std::uint32_t segment;
  std::uint32_t number;
  std::size_t at;
};

/// A query, and what is known of all blocks for it.
struct Outlined {
  ScreenQuery query;
  std::vector<float> least;                 ///< by BlockAt::at
  std::vector<std::uint8_t> passes;         ///< likewise, if the query counts: see Outliner::outline
  std::vector<std::vector<Common>> common;  ///< by segment
};

/// What a query of a group looks for, and has found.
struct Asked {
  const Outlined* query;
  SharedBound* bound;  ///< of all shards
  Found* found;        ///< of this one
};

/// Every `stride`-th block, from `first` on: similar ones are neighbours, so that each shard gets some.
struct Shard {
  std::size_t first;
  std::size_t stride;
};

/// Looks at the blocks of a shard for the queries of a group, a block for all of them while it is in the
/// cache.
class GroupScan {
 public:
  GroupScan(Scanner& scanner, const std::vector<BlockAt>& blocks, Shard shard, Wanted wanted,
            const std::vector<Asked>& asked, Interruption& interruption);

  void run();

 private:
  struct Seed;
  /// A visit that is prepared while the one before is made.
  struct Next {
    Visit visit;
    std::size_t i = 0;
    std::size_t at = 0;
    bool waits = false;
  };

  const BlockAt& block(std::size_t n) const { return blocks_[shard_.first + n * shard_.stride]; }
  bool counts_far(std::size_t i) const;
  bool is_far(std::size_t i, std::size_t at) const;
  bool has_to_look(std::size_t i, std::size_t at) const;
  void add_seeds(std::size_t i, std::vector<Seed>& seeds) const;
  void visit(std::size_t i, std::size_t n);
  void finish(Next& one);

  Scanner& scanner_;
  const std::vector<BlockAt>& blocks_;
  const Shard shard_;
  const std::size_t count_;  // blocks of the shard
  const Wanted wanted_;
  const std::vector<Asked>& asked_;
  Interruption& interruption_;
  Next next_[2];
  std::size_t turn_ = 0;
};

}  // namespace semcbir
