// SPDX-License-Identifier: MIT
#include "screened_search.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include "exact.hpp"
#include "kernels.hpp"
#include "ranking.hpp"
#include "rounding.hpp"
#include "scanner.hpp"
#include "screen_query.hpp"
#include "semcbir/histogram.hpp"
#include "semcbir/parallel.hpp"
#include "top_k.hpp"

namespace semcbir {
namespace {

// Queries that look at a block together; threads share them.
constexpr std::size_t kQueriesPerGroup = 256;
// Queries whose outlines are in memory together.
constexpr std::size_t kQueriesAtOnce = 256;
constexpr std::size_t kTasksPerThread = 4;
constexpr std::size_t kFewestBlocksPerShard = 16;
// A group's queries first look at that many blocks each, those likeliest to hold their neighbours.
constexpr std::size_t kSeeds = 12;
// Bytes of an image's rows that are asked for ahead; memory goes on by itself after that.
constexpr std::size_t kMostPrefetched = 4096;

/// A block of a segment; `at` counts the padded blocks of all segments.
struct BlockAt {
  std::uint32_t segment;
  std::uint32_t number;
  std::size_t at;
};

/// A block that a query looks at first: the nearest in the first round.
struct Seed {
  int round;
  std::size_t block;
  std::size_t i;  ///< which query

  /// So that queries look at a block together.
  bool operator<(const Seed& other) const {
    return std::tie(round, block, i) < std::tie(other.round, other.block, other.i);
  }
};

/// The round in which a query looks at its n-th nearest block.
int round_of(std::size_t n) { return n == 0 ? 0 : n < 4 ? 1 : 2; }

/// What is known of all blocks for one query.
struct Outline {
  std::vector<float> least;
  std::vector<std::uint16_t> shares;
  std::vector<std::vector<Common>> common;  // by segment
};

class ScreenedSearch {
 public:
  ScreenedSearch(const std::vector<ScreenedSegment>& segments, std::size_t dim, const SearchOptions& options,
                 const SearchOutput& output, Interruption& interruption)
      : segments_(segments),
        dim_(dim),
        options_(options),
        filtered_(options.epsilon < kEverything),
        counting_(output.work != nullptr),
        output_(output),
        interruption_(interruption),
        kernels_(active_kernels()) {
    for (std::size_t s = 0; s < segments.size(); ++s) {
      const Screen& screen = *segments[s].screen;
      norm_step_ = std::max(norm_step_, static_cast<double>(screen.norm_step));
      for (std::size_t b = 0; b < screen.blocks.size(); ++b) {
        blocks_.push_back({static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(b), padded_ + b});
      }
      padded_ += screen.padded_blocks();
      live_ += segments[s].images;
    }
  }

  /// Searches for some queries, which are `numbers` in the output.
  void run(const ImageRows* queries, const std::size_t* numbers, std::size_t count) {
    queries_.clear();
    for (std::size_t q = 0; q < count; ++q) {
      queries_.push_back(make_query(queries[q], dim_, norm_step_));
    }
    verified_.assign(count, {});
    work_.assign(count, {});
    outlines_.resize(count);
    parallel_for(count, options_.threads, [this](std::size_t q) { outline(q); }, &interruption_);
    std::vector<std::size_t> all(count);
    for (std::size_t q = 0; q < count; ++q) all[q] = q;
    look(all, Wanted::kept, numbers);
    if (!options_.drop && filtered_) {
      std::vector<std::size_t> missing;
      for (const std::size_t q : all) {
        if (verified_[q].size() < options_.k) missing.push_back(q);
      }
      look(missing, Wanted::penalized, numbers);
    }
    if (output_.work != nullptr) {
      for (const std::size_t q : all) output_.work[numbers[q]] = work_[q];
    }
    for (const std::size_t q : all) write_ranking(verified_[q], numbers[q], options_.k, output_);
  }

 private:
  void outline(std::size_t q) {
    Outline& outline = outlines_[q];
    outline.least.resize(padded_);
    outline.shares.resize(filtered_ ? padded_ : 0);
    outline.common.resize(segments_.size());
    Scanner scanner(segments_, options_, kernels_, counting_);
    std::size_t at = 0;
    work_[q].all_blocks = static_cast<std::int64_t>(blocks_.size());
    for (std::size_t s = 0; s < segments_.size(); ++s) {
      std::uint16_t* shares = outline.shares.data() + (filtered_ ? at : 0);
      outline.common[s] = scanner.outline(s, queries_[q], outline.least.data() + at, shares);
      at += segments_[s].screen->padded_blocks();
      work_[q].bytes += scanner.outline_bytes(s, outline.common[s]);
    }
  }

  /// Finds the wanted images of some queries and appends them to what they have.
  void look(const std::vector<std::size_t>& queries, Wanted wanted, const std::size_t* numbers) {
    if (queries.empty()) return;
    const auto threads = static_cast<std::size_t>(options_.threads);
    const std::size_t per_group = std::min(kQueriesPerGroup, (queries.size() + threads - 1) / threads);
    const std::size_t groups = (queries.size() + per_group - 1) / per_group;
    const std::size_t tasks = threads == 1 ? 1 : kTasksPerThread * threads;
    const std::size_t most = std::max<std::size_t>(1, blocks_.size() / kFewestBlocksPerShard);
    const std::size_t shards = std::min(most, (tasks + groups - 1) / groups);
    std::vector<SharedBound> bounds(queries.size());
    std::vector<Found> found(queries.size() * shards);
    parallel_for(
        groups * shards, options_.threads,
        [&](std::size_t task) {
          const std::size_t first = task / shards * per_group;
          const std::size_t last = std::min(first + per_group, queries.size());
          scan_group(queries, first, last, task % shards, shards, wanted, bounds, found);
        },
        &interruption_);
    parallel_for(
        queries.size(), options_.threads,
        [&](std::size_t i) {
          const std::int64_t kept = verify(queries[i], wanted, bounds[i].get(), &found[i * shards], shards);
          if (wanted == Wanted::kept) output_.kept[numbers[queries[i]]] = kept;
        },
        &interruption_);
  }

  void scan_group(const std::vector<std::size_t>& queries, std::size_t first, std::size_t last,
                  std::size_t shard, std::size_t shards, Wanted wanted, std::vector<SharedBound>& bounds,
                  std::vector<Found>& found) {
    const std::size_t begin = blocks_.size() * shard / shards;
    const std::size_t end = blocks_.size() * (shard + 1) / shards;
    Scanner scanner(segments_, options_, kernels_, counting_);
    // One visit is prepared while the one before is made.
    struct Next {
      Visit visit;
      std::size_t i = 0;
      std::size_t at = 0;
      bool waits = false;
    } next[2];
    std::size_t turn = 0;
    const auto finish = [&](Next& one) {
      if (!one.waits) return;
      one.waits = false;
      const std::size_t q = queries[one.i];
      const bool far = outlines_[q].least[one.at] > bounds[one.i].get();
      if (far && (wanted == Wanted::penalized || !filtered_)) return;
      scanner.scan(one.visit, far, queries_[q], wanted, bounds[one.i], found[one.i * shards + shard]);
    };
    const auto looks = [&](std::size_t i, std::size_t b) {
      const Outline& outline = outlines_[queries[i]];
      const std::size_t at = blocks_[b].at;
      if (wanted == Wanted::penalized || !filtered_) return !(outline.least[at] > bounds[i].get());
      return scanner.may_pass(outline.shares[at]);
    };
    const auto visit = [&](std::size_t i, std::size_t b) {
      if (!looks(i, b)) return;
      const Outline& outline = outlines_[queries[i]];
      const BlockAt& block = blocks_[b];
      Next& one = next[turn];
      turn = 1 - turn;
      one.i = i;
      one.at = block.at;
      one.waits = true;
      scanner.prepare(block.segment, block.number, outline.common[block.segment], one.visit);
      finish(next[turn]);
    };
    // The nearest blocks come first, as their images lower the bound for all others.
    std::vector<Seed> seeds;
    for (std::size_t i = first; i < last; ++i) add_seeds(scanner, queries[i], i, wanted, begin, end, seeds);
    std::sort(seeds.begin(), seeds.end());
    for (const Seed& seed : seeds) {
      visit(seed.i, seed.block);
      interruption_.check(kBlockImages);
    }
    // Then the other blocks: a bit for each query that has to look at it.
    const std::size_t masks = (last - first + kMaskBits - 1) / kMaskBits;
    std::vector<std::uint16_t> waiting((end - begin) * masks, 0);
    for (std::size_t i = first; i < last; ++i) {
      for (std::size_t b = begin; b < end; ++b) {
        if (looks(i, b)) waiting[(b - begin) * masks + (i - first) / kMaskBits] |= bit(i - first);
      }
    }
    for (const Seed& seed : seeds) {
      std::uint16_t& bits = waiting[(seed.block - begin) * masks + (seed.i - first) / kMaskBits];
      bits = static_cast<std::uint16_t>(bits & ~bit(seed.i - first));
    }
    for (std::size_t b = begin; b < end; ++b) {
      const std::uint16_t* these = &waiting[(b - begin) * masks];
      for (std::size_t m = 0; m < masks; ++m) {
        for (unsigned bits = these[m]; bits != 0; bits &= bits - 1) {
          visit(first + m * kMaskBits + lowest_bit(bits), b);
        }
      }
      interruption_.check((last - first) * kBlockImages / 8);
    }
    finish(next[1 - turn]);
  }

  /// Adds the blocks of [begin, end) with the smallest bounds, of those that may hold wanted images.
  void add_seeds(const Scanner& scanner, std::size_t q, std::size_t i, Wanted wanted, std::size_t begin,
                 std::size_t end, std::vector<Seed>& seeds) const {
    const Outline& outline = outlines_[q];
    std::vector<std::pair<float, std::size_t>> near;
    for (std::size_t b = begin; b < end; ++b) {
      const std::size_t at = blocks_[b].at;
      if (wanted == Wanted::kept && filtered_ && !scanner.may_pass(outline.shares[at])) continue;
      const std::pair<float, std::size_t> one{outline.least[at], b};
      if (near.size() == kSeeds && !(one < near.back())) continue;
      if (near.size() == kSeeds) near.pop_back();
      near.insert(std::upper_bound(near.begin(), near.end(), one), one);
    }
    for (std::size_t n = 0; n < near.size(); ++n) seeds.push_back({round_of(n), near[n].second, i});
  }

  /// Computes distances of possible images, likeliest first, until no other can be among the first k.
  /// Returns how many images pass the filter.
  std::int64_t verify(std::size_t q, Wanted wanted, float bound, const Found* found, std::size_t shards) {
    std::vector<Possible> possible;
    std::int64_t kept = filtered_ ? 0 : live_;
    for (std::size_t s = 0; s < shards; ++s) {
      for (const Possible& p : found[s].possible) {
        if (!(p.least > bound)) possible.push_back(p);
      }
      kept += found[s].kept;
      work_[q].blocks += found[s].work.blocks;
      work_[q].bytes += found[s].work.bytes;
    }
    std::sort(possible.begin(), possible.end(), [](const Possible& a, const Possible& b) {
      // What has no bound comes first.
      return !std::isnan(b.least) && (std::isnan(a.least) || a.least < b.least);
    });
    std::vector<Candidate>& verified = verified_[q];
    const std::size_t wanted_count = options_.k - verified.size();
    std::vector<Candidate> heap;
    for (std::size_t i = 0; i < possible.size(); ++i) {
      const Possible& p = possible[i];
      const bool full = heap.size() == wanted_count;
      if (full && static_cast<double>(p.least) > heap.front().squared) break;
      if (i + 2 < possible.size()) prefetch_offsets(possible[i + 2]);
      if (i + 1 < possible.size()) prefetch_rows(possible[i + 1]);
      const SignatureView& view = *segments_[p.segment].view;
      const std::size_t number = image_of(p);
      const ImageRows image = image_rows(view, number, dim_);
      ++work_[q].distances;
      const double squared = nan_to_infinity(kernels_.squared_distance(queries_[q].rows, image, dim_));
      if (full && squared > heap.front().squared) continue;
      const Candidate candidate{wanted == Wanted::penalized, squared, view.ids[number],
                                nan_to_infinity(histogram_distance(queries_[q].rows, image))};
      if (full && !(candidate < heap.front())) continue;
      if (full) {
        std::pop_heap(heap.begin(), heap.end());
        heap.back() = candidate;
      } else {
        heap.push_back(candidate);
      }
      std::push_heap(heap.begin(), heap.end());
      interruption_.check(1);
    }
    std::sort(heap.begin(), heap.end());
    verified.insert(verified.end(), heap.begin(), heap.end());
    return kept;
  }

  std::size_t image_of(const Possible& p) const { return segments_[p.segment].screen->order[p.at]; }

  void prefetch_offsets(const Possible& p) const {
    prefetch(&segments_[p.segment].view->offsets[image_of(p)], sizeof(std::int64_t));
  }

  void prefetch_rows(const Possible& p) const {
    const ImageRows image = image_rows(*segments_[p.segment].view, image_of(p), dim_);
    prefetch(image.classes, sizeof(std::uint16_t) * image.count);
    prefetch(image.proportions, sizeof(float) * image.count);
    prefetch(image.centroids, std::min(kMostPrefetched, sizeof(float) * image.count * dim_));
  }

  const std::vector<ScreenedSegment>& segments_;
  const std::size_t dim_;
  const SearchOptions& options_;
  const bool filtered_;
  const bool counting_;
  const SearchOutput& output_;
  Interruption& interruption_;
  const Kernels& kernels_;
  double norm_step_ = 0;  // the largest
  std::size_t padded_ = 0;
  std::int64_t live_ = 0;
  std::vector<BlockAt> blocks_;
  std::vector<ScreenQuery> queries_;
  std::vector<Outline> outlines_;
  std::vector<std::vector<Candidate>> verified_;
  std::vector<SearchWork> work_;
};

}  // namespace

std::vector<std::uint16_t> live_masks(const SignatureView& view, const Screen& screen) {
  std::vector<std::uint16_t> masks(screen.blocks.size() * kMasks, 0);
  for (std::size_t b = 0; b < screen.blocks.size(); ++b) {
    const ScreenBlock& block = screen.blocks[b];
    for (std::size_t place = 0; place < block.images; ++place) {
      if (view.ids[screen.order[block.first + place]] < 0) continue;
      masks[b * kMasks + place / kMaskBits] |= bit(place);
    }
  }
  return masks;
}

void screened_search(const std::vector<ScreenedSegment>& segments, std::size_t dim,
                     const std::vector<ImageRows>& queries, const SearchOptions& options,
                     const std::vector<std::size_t>& numbers, const SearchOutput& output,
                     Interruption& interruption) {
  ScreenedSearch search(segments, dim, options, output, interruption);
  for (std::size_t first = 0; first < queries.size(); first += kQueriesAtOnce) {
    const std::size_t count = std::min(kQueriesAtOnce, queries.size() - first);
    search.run(&queries[first], &numbers[first], count);
  }
}

}  // namespace semcbir
