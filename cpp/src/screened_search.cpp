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
#include "outline.hpp"
#include "ranking.hpp"
#include "rounding.hpp"
#include "scanner.hpp"
#include "screen_query.hpp"
#include "semcbir/histogram.hpp"
#include "semcbir/parallel.hpp"
#include "top_k.hpp"

namespace semcbir {
namespace {

// Queries that look at blocks together.
constexpr std::size_t kQueriesAtOnce = 256;
// Room for the images that a query mostly finds, so that it is not made step by step.
constexpr std::size_t kLikelyPossible = 256;
// Times queries. For fewer it does not pay to wake a thread up.
constexpr std::size_t kFewestBlocksPerThread = 1024;
// Bytes of an image's rows that are asked for ahead; memory goes on by itself after that.
constexpr std::size_t kMostPrefetched = 4096;

/// The segments that are searched, and their blocks.
struct Collection {
  Collection(const std::vector<ScreenedSegment>& screened, std::size_t rows_dim)
      : segments(screened), dim(rows_dim), norm_step(largest_norm_step(screened)) {
    for (std::size_t s = 0; s < segments.size(); ++s) {
      const Screen& screen = *segments[s].screen;
      for (std::size_t b = 0; b < screen.blocks.size(); ++b) {
        blocks.push_back({static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(b), padded + b});
      }
      padded += screen.padded_blocks();
      live += segments[s].images;
    }
  }

  const std::vector<ScreenedSegment>& segments;
  std::size_t dim;
  double norm_step;  ///< the largest
  std::vector<BlockAt> blocks;
  std::size_t padded = 0;  ///< blocks, those included that only fill up
  std::int64_t live = 0;   ///< images that are not removed
};

/// Searches for a group of queries, on some threads.
class GroupSearch {
 public:
  GroupSearch(const Collection& collection, const SearchOptions& options, int threads,
              const SearchOutput& output, Interruption& interruption)
      : collection_(collection),
        options_(options),
        threads_(threads),
        counting_(output.work != nullptr),
        output_(output),
        interruption_(interruption),
        kernels_(active_kernels()) {}

  /// Searches for the queries, which are `numbers` in the output.
  void run(const ImageRows* queries, const std::size_t* numbers, std::size_t count) {
    queries_.resize(count);
    verified_.resize(count);
    work_.resize(count);
    parallel_for(count, threads_, [&](std::size_t q) { outline(queries[q], numbers[q], q); }, &interruption_);
    std::vector<std::size_t> all(count);
    for (std::size_t q = 0; q < count; ++q) all[q] = q;
    look(all, Wanted::kept, numbers);
    if (!options_.drop) {
      std::vector<std::size_t> missing;
      for (const std::size_t q : all) {
        if (queries_[q].query.penalizes() && verified_[q].size() < options_.k) missing.push_back(q);
      }
      look(missing, Wanted::penalized, numbers);
    }
    for (const std::size_t q : all) {
      write_ranking(verified_[q], numbers[q], options_.k, output_);
      if (counting_) output_.work[numbers[q]] = work_[q];
    }
  }

 private:
  void outline(const ImageRows& rows, std::size_t number, std::size_t q) {
    Outlined& query = queries_[q];
    const Wish wish{epsilon_of(options_, number), options_.terms};
    query.query = make_query(rows, collection_.dim, wish, collection_.norm_step);
    const bool counts = query.query.counts();
    query.least.resize(collection_.padded);
    query.passes.resize(counts ? collection_.padded : 0);
    query.common.resize(collection_.segments.size());
    Outliner outliner(collection_.segments, kernels_);
    std::size_t at = 0;
    work_[q].all_blocks = static_cast<std::int64_t>(collection_.blocks.size());
    for (std::size_t s = 0; s < collection_.segments.size(); ++s) {
      std::uint8_t* passes = query.passes.data() + (counts ? at : 0);
      query.common[s] = outliner.outline(s, query.query, query.least.data() + at, passes);
      at += collection_.segments[s].screen->padded_blocks();
      work_[q].bytes += outliner.outline_bytes(s, query.common[s]);
    }
  }

  /// Finds the wanted images of some queries and appends them to what they have. Threads share the blocks.
  void look(const std::vector<std::size_t>& queries, Wanted wanted, const std::size_t* numbers) {
    if (queries.empty()) return;
    const std::size_t shards = std::min(collection_.blocks.size(), static_cast<std::size_t>(threads_));
    std::vector<SharedBound> bounds(queries.size());
    std::vector<Found> found(queries.size() * shards);
    for (Found& one : found) {
      one.possible.reserve(kLikelyPossible);
      one.bounds.reserve(std::min(options_.k, kLikelyPossible));
    }
    parallel_for(
        shards, threads_,
        [&](std::size_t first) {
          std::vector<Asked> asked;
          for (std::size_t i = 0; i < queries.size(); ++i) {
            asked.push_back({&queries_[queries[i]], &bounds[i], &found[i * shards + first]});
          }
          Scanner scanner(collection_.segments, options_.k, kernels_, counting_);
          GroupScan(scanner, collection_.blocks, {first, shards}, wanted, asked, interruption_).run();
        },
        &interruption_);
    parallel_for(
        queries.size(), threads_,
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
    const ScreenQuery& query = queries_[q].query;
    std::int64_t kept = query.counts() ? 0 : collection_.live;
    for (std::size_t s = 0; s < shards; ++s) {
      for (const Possible& p : found[s].possible) {
        if (!(p.least > bound)) possible.push_back(p);
      }
      kept += found[s].kept;
      work_[q].blocks += found[s].work.blocks;
      work_[q].bytes += found[s].work.bytes;
    }
    drop_lone(possible, options_.k - verified_[q].size());
    std::sort(possible.begin(), possible.end(), [](const Possible& a, const Possible& b) {
      // What has no bound comes first.
      return !std::isnan(b.least) && (std::isnan(a.least) || a.least < b.least);
    });
    std::vector<Candidate>& verified = verified_[q];
    const std::size_t wanted_count = options_.k - verified.size();
    std::vector<Candidate> heap;
    Distances distances(kernels_, query.rows, collection_.dim, query.terms);
    for (std::size_t i = 0; i < possible.size(); ++i) {
      const Possible& p = possible[i];
      const bool full = heap.size() == wanted_count;
      if (full && static_cast<double>(p.least) > heap.front().squared) break;
      if (i + 2 < possible.size()) prefetch_offsets(possible[i + 2]);
      if (i + 1 < possible.size()) prefetch_rows(possible[i + 1]);
      const SignatureView& view = *collection_.segments[p.segment].view;
      const std::size_t number = image_of(p);
      const ImageRows image = image_rows(view, number, collection_.dim);
      ++work_[q].distances;
      const double squared = nan_to_infinity(distances.squared(image));
      if (full && squared > heap.front().squared) continue;
      const Candidate candidate{wanted == Wanted::penalized, squared, view.ids[number],
                                nan_to_infinity(histogram_distance(query.rows, image))};
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

  /// Of images that are equally far, ids decide: leaves those with the smallest `most` ones.
  void drop_lone(std::vector<Possible>& possible, std::size_t most) const {
    const auto lone =
        std::partition(possible.begin(), possible.end(), [](const Possible& p) { return !p.lone; });
    if (static_cast<std::size_t>(possible.end() - lone) <= most) return;
    const auto end = lone + static_cast<std::ptrdiff_t>(most);
    const auto id = [this](const Possible& p) {
      return collection_.segments[p.segment].view->ids[image_of(p)];
    };
    std::nth_element(lone, end, possible.end(),
                     [&id](const Possible& a, const Possible& b) { return id(a) < id(b); });
    possible.erase(end, possible.end());
  }

  std::size_t image_of(const Possible& p) const {
    return collection_.segments[p.segment].screen->order[p.at];
  }

  void prefetch_offsets(const Possible& p) const {
    prefetch(&collection_.segments[p.segment].view->offsets[image_of(p)], sizeof(std::int64_t));
  }

  void prefetch_rows(const Possible& p) const {
    const ImageRows image = image_rows(*collection_.segments[p.segment].view, image_of(p), collection_.dim);
    prefetch(image.classes, sizeof(std::uint16_t) * image.count);
    prefetch(image.proportions, sizeof(float) * image.count);
    prefetch(image.centroids, std::min(kMostPrefetched, sizeof(float) * image.count * collection_.dim));
  }

  const Collection& collection_;
  const SearchOptions& options_;
  const int threads_;
  const bool counting_;
  const SearchOutput& output_;
  Interruption& interruption_;
  const Kernels& kernels_;
  std::vector<Outlined> queries_;
  std::vector<std::vector<Candidate>> verified_;
  std::vector<SearchWork> work_;
};

}  // namespace

double largest_norm_step(const std::vector<ScreenedSegment>& segments) {
  double step = 0;
  for (const ScreenedSegment& segment : segments) {
    step = std::max(step, static_cast<double>(segment.screen->norm_step));
  }
  return step;
}

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
  const Collection collection(segments, dim);
  auto threads = static_cast<std::size_t>(options.threads);
  if (options.screening != Screening::always) {
    const std::size_t work = queries.size() * collection.blocks.size();
    threads = std::min(threads, std::max<std::size_t>(1, work / kFewestBlocksPerThread));
  }
  if (queries.size() < threads) {
    GroupSearch(collection, options, static_cast<int>(threads), output, interruption)
        .run(queries.data(), numbers.data(), queries.size());
    return;
  }
  // A group waits for no other one: threads that others keep busy would hold all of them up.
  const std::size_t size = std::min(kQueriesAtOnce, divide_up(queries.size(), threads));
  parallel_for(
      divide_up(queries.size(), size), static_cast<int>(threads),
      [&](std::size_t group) {
        const std::size_t first = group * size;
        const std::size_t count = std::min(size, queries.size() - first);
        GroupSearch(collection, options, 1, output, interruption)
            .run(&queries[first], &numbers[first], count);
      },
      &interruption);
}

}  // namespace semcbir
