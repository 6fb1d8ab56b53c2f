// SPDX-License-Identifier: MIT
#include "screened_search.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "exact.hpp"
#include "kernels.hpp"
#include "ranking.hpp"
#include "rounding.hpp"
#include "semcbir/histogram.hpp"
#include "semcbir/parallel.hpp"
#include "top_k.hpp"

namespace semcbir {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr std::size_t kQueriesPerGroup = 16;
// Queries whose outlines are in memory together.
constexpr std::size_t kQueriesAtOnce = 256;
constexpr std::size_t kTasksPerThread = 4;
constexpr std::size_t kFewestBlocksPerShard = 16;
// A group's queries first look at that many blocks each, those likeliest to hold their neighbours.
constexpr std::size_t kSeeds = 3;

/// The number of the lowest bit of 16 that is set; there is one.
std::size_t lowest_bit(unsigned bits) {
  // A multiplication puts a different number in the top bits for each isolated bit (de Bruijn).
  constexpr std::uint8_t kPlaces[32] = {0,  1,  28, 2,  29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4,  8,
                                        31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6,  11, 5,  10, 9};
  const std::uint32_t isolated = bits & (~bits + 1U);
  return kPlaces[isolated * 0x077CB531U >> 27U];
}

std::int64_t count_bits(const std::uint16_t* masks, std::size_t n) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < n; ++i) {
    unsigned x = masks[i];
    x -= x >> 1U & 0x5555U;
    x = (x & 0x3333U) + (x >> 2U & 0x3333U);
    x = (x + (x >> 4U)) & 0x0f0fU;
    count += static_cast<std::int64_t>((x + (x >> 8U)) & 0x1fU);
  }
  return count;
}

/// Which images of a block are still in question: bit i % 16 of masks[i / 16].
struct Alive {
  std::uint16_t masks[kMasks];

  bool any() const {
    std::uint16_t all = 0;
    for (const std::uint16_t m : masks) all = static_cast<std::uint16_t>(all | m);
    return all != 0;
  }

  /// Whether one of the places [first, last] is.
  bool any_of(std::size_t first, std::size_t last) const {
    const std::size_t a = first / kTileRows;
    const std::size_t b = last / kTileRows;
    const unsigned from = 0xffffU << (first % kTileRows);
    const unsigned to = 0xffffU >> (kTileRows - 1 - last % kTileRows);
    if (a == b) return (masks[a] & from & to) != 0;
    if ((masks[a] & from) != 0 || (masks[b] & to) != 0) return true;
    for (std::size_t m = a + 1; m < b; ++m) {
      if (masks[m] != 0) return true;
    }
    return false;
  }

  template <class F>
  void for_each(const F& f) const {
    for (std::size_t m = 0; m < kMasks; ++m) {
      for (unsigned bits = masks[m]; bits != 0; bits &= bits - 1) f(m * kTileRows + lowest_bit(bits));
    }
  }

  std::int64_t count() const { return count_bits(masks, kMasks); }
};

/// A query as screens see it.
struct ScreenQuery {
  ImageRows rows;
  float length = 0;                  // |q|^2 less all rounding
  float slack = 0;                   // what rounding can add to a bound from above
  std::vector<std::int8_t> entries;  // by row, `groups` groups of four
  std::vector<float> scales;         // what one step of a row's entries is
  std::vector<float> norms;          // rounded up
  std::vector<float> offs;           // b: the error of a product with a row of scale s is at most s b
  std::vector<std::int32_t> sums;    // of a row's entries
  std::vector<std::uint16_t> proportions;
};

/// What the screens of all segments have in common, or the largest of theirs.
struct Scale {
  double entry_error = 0;
  double entry_norm = 0;
  double norm_step = 0;
};

ScreenQuery make_query(const ImageRows& rows, std::size_t dim, const Scale& screens) {
  ScreenQuery query;
  query.rows = rows;
  const std::size_t width = (dim + kTileGroup - 1) / kTileGroup * kTileGroup;
  query.entries.assign(rows.count * width, 0);
  // Sums of products of entries, up to 255 times these, stay within 32 bits.
  const double largest_step = std::min(127.0, std::floor(2147483647.0 / (255.0 * static_cast<double>(dim))));
  double total = 0;
  double norms = 0;
  for (std::size_t i = 0; i < rows.count; ++i) {
    const float* row = rows.centroids + i * dim;
    const auto scale = static_cast<float>(static_cast<double>(largest_entry(row, dim)) / largest_step);
    double off = 0;
    double stored = 0;
    std::int32_t sum = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      const auto x = static_cast<double>(row[d]);
      const auto s = static_cast<double>(scale);
      const double w = s > 0 ? std::max(-largest_step, std::min(largest_step, std::nearbyint(x / s))) : 0.0;
      off += (x - s * w) * (x - s * w);
      stored += s * w * s * w;
      sum += static_cast<std::int32_t>(w);
      query.entries[i * width + d] = static_cast<std::int8_t>(w);
    }
    const double squared = squared_norm(row, dim);
    total += squared;
    norms += std::sqrt(squared);
    query.scales.push_back(scale);
    query.norms.push_back(rounded_up(std::sqrt(squared) * (1 + 1e-9)));
    query.offs.push_back(rounded_up(
        (std::sqrt(stored) * screens.entry_error + std::sqrt(off) * screens.entry_norm) * (1 + 1e-6)));
    query.sums.push_back(sum);
    query.proportions.push_back(proportion_steps_up(rows.proportions[i]));
  }
  // Norms of images are a step longer than they are, and rounded as such.
  const double rounding = total * relative_slack(rows.count) + std::ldexp(norms * screens.norm_step, -18);
  query.length = rounded_down(total - rounding);
  query.slack = rounded_up(2 * rounding + 1e-6 * total);
  return query;
}

/// An image that may be among the first k: its distance squared is at least `least`.
struct Possible {
  float least;
  std::uint32_t segment;
  std::uint32_t image;
};

/// What one query has found in one shard.
struct Found {
  std::vector<Possible> possible;
  std::vector<float> bounds;  // a heap: the k smallest bounds from above, the largest first
  std::int64_t kept = 0;
};

/// A bound that threads lower together: no image beyond it can be among the first k.
class SharedBound {
 public:
  SharedBound() = default;
  SharedBound(SharedBound&& other) noexcept : value_(other.value_.load()) {}
  float get() const { return value_.load(std::memory_order_relaxed); }
  void lower(float value) {
    float now = get();
    while (value < now && !value_.compare_exchange_weak(now, value, std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<float> value_{kInf};
};

/// A class that a query and a segment share.
struct Common {
  const ScreenSummary* summary;
  std::size_t row;  // of the query
};

/// A class that a query and a block share.
struct Shared {
  const ScreenClass* c;
  std::size_t row;  // of the query
};

/// Stands for shares of 1 where they are not known.
constexpr std::uint16_t kAnyShare = 0xffff;

enum class Wanted { kept, penalized };

/// Looks at blocks for one query.
class Scanner {
 public:
  Scanner(const std::vector<ScreenedSegment>& segments, const SearchOptions& options, const Kernels& kernels)
      : segments_(segments),
        k_(options.k),
        filtered_(options.epsilon < kEverything),
        epsilon_(options.epsilon),
        kernels_(kernels) {
    if (!filtered_) return;
    const double least = 1.0 - options.epsilon / 2.0;  // of the sum of minima, where proportions sum to 1
    const double steps = static_cast<double>(kProportionSteps);
    possible_ = static_cast<std::uint16_t>(std::max(0.0, std::ceil((least - 1.1 * kProportionsOff) * steps)));
    certain_ = static_cast<std::size_t>(std::max(0.0, std::ceil((least + 1.1 * kProportionsOff) * steps)));
  }

  /// Bounds the blocks of a segment: `least`, and `shares` if there is a filter, of its padded_blocks() each.
  /// Returns the classes that query and segment share, those of the query's longest rows first.
  std::vector<Common> outline(std::size_t segment, const ScreenQuery& query, float* least,
                              std::uint16_t* shares) const {
    const Screen& screen = *segments_[segment].screen;
    const std::size_t n = screen.padded_blocks();
    for (std::size_t b = 0; b < n; ++b) least[b] = screen.shortest[b] + query.length;
    if (filtered_) std::fill(shares, shares + n, std::uint16_t{0});
    std::vector<Common> common;
    std::size_t i = 0;
    for (std::size_t c = 0; c < screen.summaries.size() && i < query.rows.count;) {
      const ScreenSummary& summary = screen.summaries[c];
      const std::uint16_t label = query.rows.classes[i];
      if (summary.label == label) {
        common.push_back({&summary, i});
        add_summary(screen, summary, query, i, least, shares);
      }
      c += summary.label <= label ? 1 : 0;
      i += label <= summary.label ? 1 : 0;
    }
    // Every class is rounded twice, to no more than this.
    const double steps = 2.0 * 65535.0 * static_cast<double>(screen.norm_step);
    double largest = static_cast<double>(query.length);
    for (const float norm : query.norms) largest += steps * static_cast<double>(norm);
    const double slack = relative_slack(query.rows.count);
    for (std::size_t b = 0; b < n; ++b) {
      const double length = std::fabs(static_cast<double>(screen.shortest[b]));
      if (length < kLargestSquare)
        least[b] = rounded_down(static_cast<double>(least[b]) - slack * (largest + length));
      if (filtered_ && screen.unsure[b] != 0) shares[b] = kAnyShare;
    }
    std::stable_sort(common.begin(), common.end(), [&](const Common& a, const Common& b) {
      return query.norms[a.row] > query.norms[b.row];
    });
    return common;
  }

  /// Whether a block with these shares may hold images that pass the filter.
  bool may_pass(std::uint16_t shares) const { return !filtered_ || shares >= possible_; }

  /// Looks at a block. `far`: none of its images is near enough, but those that pass have to be counted.
  void scan(std::size_t segment, std::size_t number, bool far, const ScreenQuery& query,
            const std::vector<Common>& common, Wanted wanted, SharedBound& bound, Found& found) {
    const Screen& screen = *segments_[segment].screen;
    const ScreenBlock& block = screen.blocks[number];
    share(screen, number, common);
    if (!passing(segment, number, block, query, wanted, found) || far) return;
    if (!estimate(screen, block, query, bound.get())) return;
    refine(screen, block, query, bound);
    collect(segment, block, query, bound, found);
  }

 private:
  void add_summary(const Screen& screen, const ScreenSummary& summary, const ScreenQuery& query,
                   std::size_t row, float* least, std::uint16_t* shares) const {
    const std::uint16_t p = query.proportions[row];
    const float factor = -2.0F * query.norms[row] * screen.norm_step;
    const std::size_t n = screen.padded_blocks();
    if (summary.entries == 0) {
      if (filtered_) kernels_.add_minima(shares, &screen.summary_columns[summary.column], p, n);
      kernels_.add_products(least, &screen.summary_columns[summary.column + n], factor, n);
      return;
    }
    for (std::size_t e = summary.first; e < summary.first + summary.entries; ++e) {
      const ScreenEntry& entry = screen.summary_entries[e];
      if (filtered_) {
        std::uint16_t& share = shares[entry.block];
        share = static_cast<std::uint16_t>(share + std::min(p, entry.largest_proportion));
      }
      least[entry.block] += factor * static_cast<float>(entry.largest_norm);
    }
  }

  /// Finds the classes that query and block share.
  void share(const Screen& screen, std::size_t number, const std::vector<Common>& common) {
    shared_.clear();
    const ScreenClass* classes = screen.blocks[number].classes.data();
    for (const Common& c : common) {
      const ScreenSummary& summary = *c.summary;
      if (summary.entries == 0) {
        const std::uint16_t at = screen.summary_columns[summary.column + 2 * screen.padded_blocks() + number];
        if (at != 0) shared_.push_back({classes + at - 1, c.row});
        continue;
      }
      const ScreenEntry* first = &screen.summary_entries[summary.first];
      const ScreenEntry* entry =
          std::lower_bound(first, first + summary.entries, number,
                           [](const ScreenEntry& e, std::size_t block) { return e.block < block; });
      if (entry != first + summary.entries && entry->block == number) {
        shared_.push_back({classes + entry->number, c.row});
      }
    }
  }

  /// Finds the images of the block that are wanted; false if there are none.
  bool passing(std::size_t segment, std::size_t number, const ScreenBlock& block, const ScreenQuery& query,
               Wanted wanted, Found& found) {
    std::memcpy(alive_.masks, &segments_[segment].live[number * kMasks], sizeof(alive_.masks));
    if (!filtered_) return alive_.any();
    std::uint16_t sums[kBlockImages] = {};
    for (const Shared& s : shared_) {
      const std::uint16_t p = query.proportions[s.row];
      if (s.c->column != kNoColumn) {
        kernels_.add_minima(sums, &block.columns[2 * s.c->column * kBlockImages], p, kBlockImages);
        continue;
      }
      for (std::size_t r = s.c->first; r < s.c->first + s.c->rows; ++r) {
        std::uint16_t& sum = sums[block.places[r]];
        sum = static_cast<std::uint16_t>(sum + std::min(block.proportions[r], p));
      }
    }
    Alive may{};
    Alive does{};
    kernels_.at_least(sums, possible_, kBlockImages, may.masks);
    const std::size_t certain = certain_ + shared_.size();
    if (certain <= 0xffff)
      kernels_.at_least(sums, static_cast<std::uint16_t>(certain), kBlockImages, does.masks);
    Alive ask{};
    for (std::size_t m = 0; m < kMasks; ++m) {
      const std::uint16_t unsure = block.unsure[m];
      ask.masks[m] = static_cast<std::uint16_t>(alive_.masks[m] & ((may.masks[m] & ~does.masks[m]) | unsure));
      does.masks[m] = static_cast<std::uint16_t>(alive_.masks[m] & does.masks[m] & ~unsure);
    }
    const SignatureView& view = *segments_[segment].view;
    const Screen& screen = *segments_[segment].screen;
    ask.for_each([&](std::size_t place) {
      const std::uint32_t image = screen.order[block.first + place];
      const double h = histogram_distance(query.rows, image_rows(view, image, screen.dim));
      if (h <= epsilon_) does.masks[place / kTileRows] |= bit(place);
    });
    if (wanted == Wanted::kept) {
      found.kept += does.count();
      alive_ = does;
    } else {
      for (std::size_t m = 0; m < kMasks; ++m) {
        alive_.masks[m] = static_cast<std::uint16_t>(alive_.masks[m] & ~does.masks[m]);
      }
    }
    return alive_.any();
  }

  /// Bounds all distances by norms: |q|^2 + |x|^2 - 2 sum of |q_c| |x_c|. False if no image is left.
  bool estimate(const Screen& screen, const ScreenBlock& block, const ScreenQuery& query, float bound) {
    for (std::size_t i = 0; i < kBlockImages; ++i) least_[i] = block.lengths[i] + query.length;
    for (const Shared& s : shared_) {
      const float factor = -2.0F * query.norms[s.row] * screen.norm_step;
      if (s.c->column != kNoColumn) {
        const std::uint16_t* column = &block.columns[(2 * s.c->column + 1) * kBlockImages];
        kernels_.add_products(least_, column, factor, kBlockImages);
        continue;
      }
      for (std::size_t r = s.c->first; r < s.c->first + s.c->rows; ++r) {
        least_[block.places[r]] += factor * static_cast<float>(block.norms[r]);
      }
    }
    kernels_.clear_above(least_, bound, kBlockImages, alive_.masks);
    return alive_.any();
  }

  /// Replaces norms by products of entries, class by class, while images are left.
  void refine(const Screen& screen, const ScreenBlock& block, const ScreenQuery& query,
              const SharedBound& bound) {
    const std::size_t width = screen.groups * kTileGroup;
    for (const Shared& s : shared_) {
      bool changed = false;
      const ScreenRow row{&query.entries[s.row * width], 128 * query.sums[s.row], -2.0F * query.scales[s.row],
                          -2.0F * query.offs[s.row], 2.0F * query.norms[s.row] * screen.norm_step};
      for (std::size_t t = 0; t * kTileRows < s.c->rows; ++t) {
        const std::size_t first = s.c->first + t * kTileRows;
        const std::size_t rows = std::min(kTileRows, s.c->rows - t * kTileRows);
        const std::uint8_t* places = &block.places[first];
        if (!alive_.any_of(places[0], places[rows - 1])) continue;
        changed = true;
        float terms[kTileRows];
        const ScreenTile tile{&block.entries[screen.tile_start(*s.c, t)], rows * kTileGroup,
                              &block.scales[first], &block.norms[first]};
        kernels_.tile_terms(tile, row, screen.groups, terms);
        for (std::size_t r = 0; r < rows; ++r) least_[places[r]] += terms[r];
      }
      if (!changed) continue;
      kernels_.clear_above(least_, bound.get(), kBlockImages, alive_.masks);
      if (!alive_.any()) return;
    }
  }

  /// Notes the images that are left, and lowers the bound.
  void collect(std::size_t segment, const ScreenBlock& block, const ScreenQuery& query, SharedBound& bound,
               Found& found) {
    double slack = static_cast<double>(block.slack) + static_cast<double>(query.slack);
    for (const Shared& s : shared_) {
      slack += 4.0 * static_cast<double>(query.offs[s.row]) * static_cast<double>(s.c->largest_scale);
    }
    const std::uint32_t* order = &segments_[segment].screen->order[block.first];
    alive_.for_each([&](std::size_t place) {
      const float least = least_[place];
      if (least > bound.get()) return;
      found.possible.push_back({least, static_cast<std::uint32_t>(segment), order[place]});
      if (!std::isfinite(least)) return;
      const float most = rounded_up(static_cast<double>(least) + slack);
      if (found.bounds.size() < k_) {
        found.bounds.push_back(most);
        std::push_heap(found.bounds.begin(), found.bounds.end());
      } else if (most < found.bounds.front()) {
        std::pop_heap(found.bounds.begin(), found.bounds.end());
        found.bounds.back() = most;
        std::push_heap(found.bounds.begin(), found.bounds.end());
      } else {
        return;
      }
      if (found.bounds.size() == k_) bound.lower(found.bounds.front());
    });
  }

  const std::vector<ScreenedSegment>& segments_;
  const std::size_t k_;
  const bool filtered_;
  const double epsilon_;
  std::uint16_t possible_ = 0;  // fewer steps: surely penalised
  std::size_t certain_ = 0;     // and so many more than shared classes: surely kept
  const Kernels& kernels_;
  std::vector<Shared> shared_;
  Alive alive_{};
  float least_[kBlockImages];
};

/// A block of a segment; `at` counts the padded blocks of all segments.
struct BlockAt {
  std::uint32_t segment;
  std::uint32_t number;
  std::size_t at;
};

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
        output_(output),
        interruption_(interruption),
        kernels_(active_kernels()) {
    for (std::size_t s = 0; s < segments.size(); ++s) {
      const Screen& screen = *segments[s].screen;
      scale_.entry_error = std::max(scale_.entry_error, static_cast<double>(screen.entry_error));
      scale_.entry_norm = std::max(scale_.entry_norm, static_cast<double>(screen.entry_norm));
      scale_.norm_step = std::max(scale_.norm_step, static_cast<double>(screen.norm_step));
      for (std::size_t b = 0; b < screen.blocks.size(); ++b) {
        blocks_.push_back({static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(b), padded_ + b});
      }
      padded_ += screen.padded_blocks();
      live_ += count_bits(segments[s].live, screen.blocks.size() * kMasks);
    }
  }

  /// Searches for some queries, which are `numbers` in the output.
  void run(const ImageRows* queries, const std::size_t* numbers, std::size_t count) {
    queries_.clear();
    for (std::size_t q = 0; q < count; ++q) {
      queries_.push_back(make_query(queries[q], dim_, scale_));
    }
    verified_.assign(count, {});
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
    for (const std::size_t q : all) write_ranking(verified_[q], numbers[q], options_.k, output_);
  }

 private:
  void outline(std::size_t q) {
    Outline& outline = outlines_[q];
    outline.least.resize(padded_);
    outline.shares.resize(filtered_ ? padded_ : 0);
    outline.common.resize(segments_.size());
    const Scanner scanner(segments_, options_, kernels_);
    std::size_t at = 0;
    for (std::size_t s = 0; s < segments_.size(); ++s) {
      std::uint16_t* shares = outline.shares.data() + (filtered_ ? at : 0);
      outline.common[s] = scanner.outline(s, queries_[q], outline.least.data() + at, shares);
      at += segments_[s].screen->padded_blocks();
    }
  }

  /// Finds the wanted images of some queries and appends them to what they have.
  void look(const std::vector<std::size_t>& queries, Wanted wanted, const std::size_t* numbers) {
    if (queries.empty()) return;
    const auto threads = static_cast<std::size_t>(options_.threads);
    const std::size_t groups = (queries.size() + kQueriesPerGroup - 1) / kQueriesPerGroup;
    const std::size_t tasks = threads == 1 ? 1 : kTasksPerThread * threads;
    const std::size_t most = std::max<std::size_t>(1, blocks_.size() / kFewestBlocksPerShard);
    const std::size_t shards = std::min(most, (tasks + groups - 1) / groups);
    std::vector<SharedBound> bounds(queries.size());
    std::vector<Found> found(queries.size() * shards);
    parallel_for(
        groups * shards, options_.threads,
        [&](std::size_t task) {
          const std::size_t first = task / shards * kQueriesPerGroup;
          const std::size_t last = std::min(first + kQueriesPerGroup, queries.size());
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
    Scanner scanner(segments_, options_, kernels_);
    const auto scan = [&](std::size_t i, std::size_t b) {
      const std::size_t q = queries[i];
      const BlockAt& block = blocks_[b];
      const bool far = outlines_[q].least[block.at] > bounds[i].get();
      if (wanted == Wanted::penalized ? far : far && !filtered_) return;
      if (wanted == Wanted::kept && filtered_ && !scanner.may_pass(outlines_[q].shares[block.at])) return;
      scanner.scan(block.segment, block.number, far, queries_[q], outlines_[q].common[block.segment], wanted,
                   bounds[i], found[i * shards + shard]);
    };
    // The nearest blocks come first, as their images lower the bound for all others.
    std::vector<std::vector<std::size_t>> seeds(last - first);
    for (std::size_t i = first; i < last; ++i) {
      seeds[i - first] = nearest_blocks(scanner, queries[i], wanted, begin, end);
      for (const std::size_t b : seeds[i - first]) scan(i, b);
      interruption_.check(kSeeds * kBlockImages);
    }
    for (std::size_t b = begin; b < end; ++b) {
      for (std::size_t i = first; i < last; ++i) {
        const std::vector<std::size_t>& done = seeds[i - first];
        if (std::find(done.begin(), done.end(), b) == done.end()) scan(i, b);
      }
      interruption_.check((last - first) * kBlockImages / 8);
    }
  }

  /// The blocks of [begin, end) with the smallest bounds, of those that may hold wanted images.
  std::vector<std::size_t> nearest_blocks(const Scanner& scanner, std::size_t q, Wanted wanted,
                                          std::size_t begin, std::size_t end) const {
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
    std::vector<std::size_t> found;
    for (const auto& one : near) found.push_back(one.second);
    return found;
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
    }
    std::sort(possible.begin(), possible.end(), [](const Possible& a, const Possible& b) {
      // What has no bound comes first.
      return !std::isnan(b.least) && (std::isnan(a.least) || a.least < b.least);
    });
    std::vector<Candidate>& verified = verified_[q];
    const std::size_t wanted_count = options_.k - verified.size();
    std::vector<Candidate> heap;
    for (const Possible& p : possible) {
      const bool full = heap.size() == wanted_count;
      if (full && static_cast<double>(p.least) > heap.front().squared) break;
      const SignatureView& view = *segments_[p.segment].view;
      const ImageRows image = image_rows(view, p.image, dim_);
      const double squared = kernels_.squared_distance(queries_[q].rows, image, dim_);
      const Candidate candidate{wanted == Wanted::penalized, nan_to_infinity(squared), view.ids[p.image],
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

  const std::vector<ScreenedSegment>& segments_;
  const std::size_t dim_;
  const SearchOptions& options_;
  const bool filtered_;
  const SearchOutput& output_;
  Interruption& interruption_;
  const Kernels& kernels_;
  Scale scale_;
  std::size_t padded_ = 0;
  std::int64_t live_ = 0;
  std::vector<BlockAt> blocks_;
  std::vector<ScreenQuery> queries_;
  std::vector<Outline> outlines_;
  std::vector<std::vector<Candidate>> verified_;
};

}  // namespace

std::vector<std::uint16_t> live_masks(const SignatureView& view, const Screen& screen) {
  std::vector<std::uint16_t> masks(screen.blocks.size() * kMasks, 0);
  for (std::size_t b = 0; b < screen.blocks.size(); ++b) {
    const ScreenBlock& block = screen.blocks[b];
    for (std::size_t place = 0; place < block.images; ++place) {
      if (view.ids[screen.order[block.first + place]] < 0) continue;
      masks[b * kMasks + place / kTileRows] |= bit(place);
    }
  }
  return masks;
}

bool can_be_screened(const ImageRows& query, std::size_t dim, bool filtered) {
  double total = 0;
  for (std::size_t i = 0; i < query.count; ++i) total += squared_norm(query.centroids + i * dim, dim);
  return total < kLargestSquare && total > 1 / kLargestSquare && (!filtered || sums_to_one(query));
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
