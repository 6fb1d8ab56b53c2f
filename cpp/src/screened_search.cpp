// SPDX-License-Identifier: MIT
#include "screened_search.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "exact.hpp"
#include "group_scan.hpp"
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

// Queries that look at blocks together; threads share them.
constexpr std::size_t kQueriesAtOnce = 256;
constexpr std::size_t kFewestBlocksPerShard = 16;
// Bytes of an image's rows that are asked for ahead; memory goes on by itself after that.
constexpr std::size_t kMostPrefetched = 4096;

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
    queries_.resize(count);
    verified_.assign(count, {});
    work_.assign(count, {});
    parallel_for(count, options_.threads, [&](std::size_t q) { outline(queries[q], q); }, &interruption_);
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
  void outline(const ImageRows& rows, std::size_t q) {
    Outlined& query = queries_[q];
    query.query = make_query(rows, dim_, norm_step_);
    query.least.resize(padded_);
    query.shares.resize(filtered_ ? padded_ : 0);
    query.common.resize(segments_.size());
    Scanner scanner(segments_, options_, kernels_, counting_);
    std::size_t at = 0;
    work_[q].all_blocks = static_cast<std::int64_t>(blocks_.size());
    for (std::size_t s = 0; s < segments_.size(); ++s) {
      std::uint16_t* shares = query.shares.data() + (filtered_ ? at : 0);
      query.common[s] = scanner.outline(s, query.query, query.least.data() + at, shares);
      at += segments_[s].screen->padded_blocks();
      work_[q].bytes += scanner.outline_bytes(s, query.common[s]);
    }
  }

  /// Finds the wanted images of some queries and appends them to what they have.
  void look(const std::vector<std::size_t>& queries, Wanted wanted, const std::size_t* numbers) {
    if (queries.empty()) return;
    const auto threads = static_cast<std::size_t>(options_.threads);
    const std::size_t per_group = divide_up(queries.size(), threads);
    const std::size_t groups = divide_up(queries.size(), per_group);
    const std::size_t most = std::max<std::size_t>(1, blocks_.size() / kFewestBlocksPerShard);
    const std::size_t shards = std::min(most, divide_up(threads, groups));
    std::vector<SharedBound> bounds(queries.size());
    std::vector<Found> found(queries.size() * shards);
    parallel_for(
        groups * shards, options_.threads,
        [&](std::size_t task) {
          const std::size_t first = task / shards * per_group;
          const std::size_t last = std::min(first + per_group, queries.size());
          const Shard shard{task % shards, shards};
          std::vector<Asked> asked;
          for (std::size_t i = first; i < last; ++i) {
            asked.push_back({&queries_[queries[i]], &bounds[i], &found[i * shards + shard.first]});
          }
          Scanner scanner(segments_, options_, kernels_, counting_);
          GroupScan(scanner, blocks_, shard, wanted, asked, interruption_).run();
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
      const double squared = nan_to_infinity(kernels_.squared_distance(queries_[q].query.rows, image, dim_));
      if (full && squared > heap.front().squared) continue;
      const Candidate candidate{wanted == Wanted::penalized, squared, view.ids[number],
                                nan_to_infinity(histogram_distance(queries_[q].query.rows, image))};
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
  std::vector<Outlined> queries_;
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
