// SPDX-License-Identifier: MIT
// Looking at the blocks of screens for one query.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "alive.hpp"
#include "kernels.hpp"
#include "screen.hpp"
#include "screen_query.hpp"
#include "screened_search.hpp"

namespace semcbir {

/// An image that may be among the first k: its distance squared is at least `least`.
struct Possible {
  float least;
  std::uint32_t segment;
  std::uint32_t at;  ///< in the screen's order
};

/// What one query has found in one shard.
struct Found {
  std::vector<Possible> possible;
  std::vector<float> bounds;  // a heap: the k smallest bounds from above, the largest first
  std::int64_t kept = 0;
  SearchWork work;
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
  std::atomic<float> value_{std::numeric_limits<float>::infinity()};
};

/// A class that a query and a segment share.
struct Common {
  const ScreenSummary* summary;
  std::size_t row;  ///< of the query
};

/// A class that a query and a block share.
struct Shared {
  PartView part;
  std::size_t row;  ///< of the query
};

/// A block that a query is to be compared with, and the classes that they share.
struct Visit {
  std::size_t segment = 0;
  std::size_t block = 0;
  std::vector<Shared> shared;
};

enum class Wanted { kept, penalized };

/// Looks at blocks for one query after another.
class Scanner {
 public:
  /// `counting`: it counts the bytes that it reads, which takes time.
  Scanner(const std::vector<ScreenedSegment>& segments, const SearchOptions& options, const Kernels& kernels,
          bool counting);

  /// Bounds the blocks of a segment: `least`, and `shares` if there is a filter, of its padded_blocks() each.
  /// Returns the classes that query and segment share, those of the query's longest rows first.
  std::vector<Common> outline(std::size_t segment, const ScreenQuery& query, float* least,
                              std::uint16_t* shares);

  /// Bytes that `outline` reads.
  std::int64_t outline_bytes(std::size_t segment, const std::vector<Common>& common) const;

  bool filtered() const { return filtered_; }

  /// Whether a block with these shares may hold images that pass the filter.
  bool may_pass(std::uint16_t shares) const { return !filtered_ || shares >= possible_; }

  /// Finds the classes that a query and a block share, and has memory fetch what is read first.
  void prepare(std::size_t segment, std::size_t block, const std::vector<Common>& common, Visit& visit) const;

  /// Looks at a block. `far`: none of its images is near enough, but those that pass have to be counted.
  void scan(const Visit& visit, bool far, const ScreenQuery& query, Wanted wanted, SharedBound& bound,
            Found& found);

 private:
  void add_entries(const Screen& screen, const Common& common, const ScreenQuery& query, float* least,
                   std::uint16_t* shares) const;
  bool passing(const Visit& visit, const ScreenQuery& query, Wanted wanted, Found& found);
  void sum_shares(const Visit& visit, const ScreenQuery& query, std::uint16_t* sums);
  void fetch_norms(const Visit& visit) const;
  bool estimate(const Visit& visit, const ScreenQuery& query, float bound, Found& found);
  void refine(const Visit& visit, const ScreenQuery& query, const SharedBound& bound, Found& found);
  float center_term(const PartView& part, std::size_t width, const ScreenRow& row) const;
  void add_few(const PartView& part, std::size_t width, const ScreenRow& row, float most);
  std::int64_t column_bytes(const Visit& visit) const;
  std::int64_t row_bytes(const PartView& part, std::size_t width) const;
  void collect(const Visit& visit, const ScreenQuery& query, SharedBound& bound, Found& found) const;

  const Screen& screen(const Visit& visit) const { return *segments_[visit.segment].screen; }
  const ScreenBlock& block(const Visit& visit) const { return screen(visit).blocks[visit.block]; }

  const std::vector<ScreenedSegment>& segments_;
  const std::size_t k_;
  const bool filtered_;
  const double epsilon_;
  std::uint16_t possible_ = 0;  // fewer steps: surely penalised
  std::size_t certain_ = 0;     // and so many more than shared classes: surely kept
  const Kernels& kernels_;
  const bool counting_;
  Alive alive_{};
  float least_[kBlockImages];
  float errors_[kBlockImages];  // bounds from above are higher by twice these
  // Reused, so that blocks cost no allocations.
  std::vector<const std::uint16_t*> columns_;
  std::vector<std::uint16_t> values_;
  std::vector<float> factors_;
};

}  // namespace semcbir
