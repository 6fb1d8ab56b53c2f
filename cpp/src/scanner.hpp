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
#include "passing.hpp"
#include "screen.hpp"
#include "screen_query.hpp"
#include "screened_search.hpp"
#include "visit.hpp"

namespace semcbir {

/// An image that may be among the first k: its distance squared is at least `least`.
struct Possible {
  float least;
  std::uint32_t segment;
  std::uint32_t at;  ///< in the screen's order
  bool lone;         ///< has none of the classes that count: as far as all others of the kind, to the bit
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

enum class Wanted { kept, penalized };

/// Looks at blocks for one query after another.
class Scanner {
 public:
  /// `counting`: it counts the bytes that it reads, which takes time.
  Scanner(const std::vector<ScreenedSegment>& segments, std::size_t k, const Kernels& kernels, bool counting);

  /// Finds the classes that matter and a block has, and has memory fetch what is read first.
  void prepare(std::size_t segment, std::size_t block, const ScreenQuery& query,
               const std::vector<Common>& common, Visit& visit) const;

  /// Looks at a block. `far`: none of its images is near enough, but those that pass have to be counted.
  void scan(const Visit& visit, bool far, const ScreenQuery& query, Wanted wanted, SharedBound& bound,
            Found& found);

 private:
  bool passing(const Visit& visit, const ScreenQuery& query, Wanted wanted, Found& found);
  void fetch_norms(const Visit& visit) const;
  bool estimate(const Visit& visit, const ScreenQuery& query, float bound, Found& found);
  void refine(const Visit& visit, const ScreenQuery& query, const SharedBound& bound, Found& found);
  float center_term(const PartView& part, std::size_t width, const ScreenRow& row) const;
  std::size_t find_alive(const PartView& part);
  void add_few(const PartView& part, std::size_t width, const ScreenRow& row, float most);
  void add_unit_rows(const PartView& part, const ScreenQuery& query, const ScreenClass& asked,
                     const Screen& screen, float most);
  std::int64_t share_bytes(const Visit& visit) const;
  std::int64_t norm_bytes(const Visit& visit) const;
  std::int64_t row_bytes(const PartView& part, std::size_t width) const;
  Alive lone(const Visit& visit, const ScreenQuery& query) const;
  void collect(const Visit& visit, const ScreenQuery& query, SharedBound& bound, Found& found) const;

  const Screen& screen(const Visit& visit) const { return *segments_[visit.segment].screen; }
  const ScreenBlock& block(const Visit& visit) const { return screen(visit).blocks[visit.block]; }

  const std::vector<ScreenedSegment>& segments_;
  const std::size_t k_;
  const Kernels& kernels_;
  const bool counting_;
  Passing passing_;
  Alive alive_{};
  float least_[kBlockImages];
  float errors_[kBlockImages];  // bounds from above are higher by twice these
  // The rows of a class whose images are still in question, and these images.
  std::uint8_t numbers_[kBlockImages];
  std::uint8_t places_[kBlockImages];
  // Reused, so that blocks cost no allocations.
  std::vector<const std::uint16_t*> columns_;
  std::vector<float> factors_;
  std::vector<Parabola> parabolas_;
};

}  // namespace semcbir
