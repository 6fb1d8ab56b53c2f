// SPDX-License-Identifier: MIT
#include "group_scan.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "block_images.hpp"
#include "rounding.hpp"
#include "semcbir/parallel.hpp"

namespace semcbir {
namespace {

// Queries first look at that many blocks each, those likeliest to hold their neighbours.
constexpr std::size_t kSeeds = 12;
constexpr std::size_t kFewestSeeds = 3;

/// The round in which a query looks at its n-th nearest block.
int round_of(std::size_t n) { return n == 0 ? 0 : n < 4 ? 1 : 2; }

}  // namespace

/// A block that a query looks at first: the nearest in the first round.
struct GroupScan::Seed {
  int round;
  std::size_t block;
  std::size_t i;  ///< which query

  /// So that queries look at a block together.
  bool operator<(const Seed& other) const {
    return std::tie(round, block, i) < std::tie(other.round, other.block, other.i);
  }
};

GroupScan::GroupScan(Scanner& scanner, const std::vector<BlockAt>& blocks, Shard shard, Wanted wanted,
                     const std::vector<Asked>& asked, Interruption& interruption)
    : scanner_(scanner),
      blocks_(blocks),
      shard_(shard),
      count_(divide_up(blocks.size() - shard.first, shard.stride)),
      wanted_(wanted),
      asked_(asked),
      interruption_(interruption) {}

void GroupScan::run() {
  // The nearest blocks come first, as their images lower the bound for all others.
  std::vector<Seed> seeds;
  for (std::size_t i = 0; i < asked_.size(); ++i) add_seeds(i, seeds);
  std::sort(seeds.begin(), seeds.end());
  for (const Seed& seed : seeds) {
    visit(seed.i, seed.block);
    interruption_.check(kBlockImages);
  }
  // Then the others: for each block a bit for each query that has to look at it.
  const std::size_t masks = divide_up(asked_.size(), kMaskBits);
  std::vector<std::uint16_t> waiting(count_ * masks, 0);
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    for (std::size_t n = 0; n < count_; ++n) {
      if (has_to_look(i, block(n).at)) waiting[n * masks + i / kMaskBits] |= bit(i);
    }
  }
  for (const Seed& seed : seeds) {
    std::uint16_t& bits = waiting[seed.block * masks + seed.i / kMaskBits];
    bits = static_cast<std::uint16_t>(bits & ~bit(seed.i));
  }
  for (std::size_t n = 0; n < count_; ++n) {
    const std::uint16_t* these = &waiting[n * masks];
    for (std::size_t m = 0; m < masks; ++m) {
      for (unsigned bits = these[m]; bits != 0; bits &= bits - 1) visit(m * kMaskBits + lowest_bit(bits), n);
    }
    interruption_.check(asked_.size() * kBlockImages / 8);
  }
  finish(next_[1 - turn_]);
}

/// Whether images that pass are counted, however far they are.
bool GroupScan::counts_far(std::size_t i) const {
  return wanted_ == Wanted::kept && asked_[i].query->query.counts();
}

/// Whether none of the block's images is near enough.
bool GroupScan::is_far(std::size_t i, std::size_t at) const {
  return asked_[i].query->least[at] > asked_[i].bound->get();
}

/// Whether a block may hold wanted images.
bool GroupScan::has_to_look(std::size_t i, std::size_t at) const {
  return counts_far(i) ? asked_[i].query->passes[at] != 0 : !is_far(i, at);
}

/// Adds the blocks with the smallest bounds, of those that may hold wanted images.
void GroupScan::add_seeds(std::size_t i, std::vector<Seed>& seeds) const {
  const Outlined& query = *asked_[i].query;
  const bool counts = counts_far(i);
  const std::size_t most = std::max(kFewestSeeds, kSeeds / shard_.stride);
  std::vector<std::pair<float, std::size_t>> near;
  for (std::size_t n = 0; n < count_; ++n) {
    const std::size_t at = block(n).at;
    if (counts && query.passes[at] == 0) continue;
    const std::pair<float, std::size_t> one{query.least[at], n};
    if (near.size() == most && !(one < near.back())) continue;
    if (near.size() == most) near.pop_back();
    near.insert(std::upper_bound(near.begin(), near.end(), one), one);
  }
  for (std::size_t n = 0; n < near.size(); ++n) seeds.push_back({round_of(n), near[n].second, i});
}

/// Prepares a visit of a query to a block, and makes the one before.
void GroupScan::visit(std::size_t i, std::size_t n) {
  const BlockAt& block = this->block(n);
  if (!has_to_look(i, block.at)) return;
  Next& one = next_[turn_];
  turn_ = 1 - turn_;
  one.i = i;
  one.at = block.at;
  one.waits = true;
  const Outlined& query = *asked_[i].query;
  scanner_.prepare(block.segment, block.number, query.query, query.common[block.segment], one.visit);
  finish(next_[turn_]);
}

void GroupScan::finish(Next& one) {
  if (!one.waits) return;
  one.waits = false;
  const Asked& asked = asked_[one.i];
  const bool far = is_far(one.i, one.at);
  if (far && !counts_far(one.i)) return;
  scanner_.scan(one.visit, far, asked.query->query, wanted_, *asked.bound, *asked.found);
}

}  // namespace semcbir
