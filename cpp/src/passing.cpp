// SPDX-License-Identifier: MIT
#include "passing.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "exact.hpp"
#include "rounding.hpp"
#include "semcbir/class_terms.hpp"
#include "semcbir/histogram.hpp"

namespace semcbir {
namespace {

// Sums of steps are kept in float, which holds them to much less.
constexpr double kStepsOff = 0.1;

ImageRows image_at(const ScreenedSegment& segment, const Visit& visit, std::size_t place) {
  const Screen& screen = *segment.screen;
  return image_rows(*segment.view, screen.order[screen.blocks[visit.block].first + place], screen.dim);
}

/// Keeps the bits that are in `other`, too.
void keep(Alive& alive, const Alive& other) {
  for (std::size_t m = 0; m < kMasks; ++m) {
    alive.masks[m] = static_cast<std::uint16_t>(alive.masks[m] & other.masks[m]);
  }
}

}  // namespace

float possibly_enough(const ScreenQuery& query) { return static_cast<float>(query.least_needed - kStepsOff); }

float certainly_enough(const ScreenQuery& query, std::size_t shared) {
  if (query.least_needed <= 0) return 0;
  return static_cast<float>(query.least_needed + static_cast<double>(shared) + kStepsOff);
}

Alive Passing::judge(const ScreenedSegment& segment, const Visit& visit, const ScreenQuery& query,
                     Alive& alive) {
  if (query.bars) bar(segment, visit, query, alive);
  if (!query.penalizes()) return alive;
  const ScreenBlock& block = segment.screen->blocks[visit.block];
  Alive may = alive;
  Alive does = alive;
  if (query.filtered) filter(visit, query, may, does);
  if (query.needs) need(visit, query, may, does);
  Alive ask{};
  for (std::size_t m = 0; m < kMasks; ++m) {
    const std::uint16_t unsure = block.unsure[m];
    ask.masks[m] = static_cast<std::uint16_t>((may.masks[m] & ~does.masks[m]) | (alive.masks[m] & unsure));
    does.masks[m] = static_cast<std::uint16_t>(does.masks[m] & ~unsure);
  }
  ask.for_each([&](std::size_t place) {
    const ImageRows image = image_at(segment, visit, place);
    if (query.filtered && !(histogram_distance(query.rows, image) <= query.epsilon)) return;
    if (query.needs && !holds_needed(*query.terms, image)) return;
    does.masks[place / kMaskBits] |= bit(place);
  });
  return does;
}

/// Removes the images of which a barred class is too much.
void Passing::bar(const ScreenedSegment& segment, const Visit& visit, const ScreenQuery& query,
                  Alive& alive) {
  const ScreenBlock& block = segment.screen->blocks[visit.block];
  Alive ask{};
  for (std::size_t m = 0; m < kMasks; ++m) {
    ask.masks[m] = static_cast<std::uint16_t>(alive.masks[m] & block.unsure[m]);
  }
  for (const Shared& s : visit.shared) {
    if (!s.asked->barred) continue;
    Alive may{};
    Alive does{};
    if (s.part.has_columns()) {
      kernels_.at_least(s.part.shares(), query.possibly_barred, kBlockImages, may.masks);
      kernels_.at_least(s.part.shares(), query.certainly_barred, kBlockImages, does.masks);
    } else {
      for (std::size_t r = 0; r < s.part.rows(); ++r) {
        const std::size_t place = s.part.places()[r];
        if (s.part.shares()[r] >= query.possibly_barred) may.masks[place / kMaskBits] |= bit(place);
        if (s.part.shares()[r] >= query.certainly_barred) does.masks[place / kMaskBits] |= bit(place);
      }
    }
    for (std::size_t m = 0; m < kMasks; ++m) {
      ask.masks[m] = static_cast<std::uint16_t>(ask.masks[m] | (may.masks[m] & ~does.masks[m]));
      alive.masks[m] = static_cast<std::uint16_t>(alive.masks[m] & ~does.masks[m]);
    }
  }
  keep(ask, alive);
  ask.for_each([&](std::size_t place) {
    if (holds_barred(*query.terms, image_at(segment, visit, place))) alive.clear(place);
  });
}

/// Keeps the images that may pass the filter, and those that surely do: sums of the smaller of two shares.
void Passing::filter(const Visit& visit, const ScreenQuery& query, Alive& may, Alive& does) {
  std::uint16_t sums[kBlockImages] = {};
  columns_.clear();
  values_.clear();
  std::size_t shared = 0;
  for (const Shared& s : visit.shared) {
    const std::uint16_t p = s.asked->share;
    if (p == 0) continue;
    ++shared;
    if (s.part.has_columns()) {
      columns_.push_back(s.part.shares());
      values_.push_back(p);
      continue;
    }
    const std::uint8_t* places = s.part.places();
    for (std::size_t r = 0; r < s.part.rows(); ++r) {
      std::uint16_t& sum = sums[places[r]];
      sum = static_cast<std::uint16_t>(sum + std::min(s.part.shares()[r], p));
    }
  }
  kernels_.add_minima(sums, columns_.data(), values_.data(), columns_.size(), kBlockImages);
  Alive enough{};
  kernels_.at_least(sums, query.possible, kBlockImages, enough.masks);
  keep(may, enough);
  const std::size_t certain = query.certain + shared;
  if (certain <= 0xffff) {
    kernels_.at_least(sums, static_cast<std::uint16_t>(certain), kBlockImages, enough.masks);
  } else {
    enough = {};
  }
  keep(does, enough);
}

/// The same for what the terms need: sums of shares.
void Passing::need(const Visit& visit, const ScreenQuery& query, Alive& may, Alive& does) {
  float sums[kBlockImages] = {};  // below 0, as that is what kernels compare
  columns_.clear();
  std::size_t shared = 0;
  for (const Shared& s : visit.shared) {
    if (!s.asked->needed) continue;
    ++shared;
    if (s.part.has_columns()) {
      columns_.push_back(s.part.shares());
      continue;
    }
    for (std::size_t r = 0; r < s.part.rows(); ++r) {
      sums[s.part.places()[r]] -= static_cast<float>(s.part.shares()[r]);
    }
  }
  factors_.assign(columns_.size(), -1.0F);
  kernels_.add_products(sums, columns_.data(), factors_.data(), columns_.size(), kBlockImages);
  kernels_.clear_above(sums, -possibly_enough(query), kBlockImages, may.masks);
  kernels_.clear_above(sums, -certainly_enough(query, shared), kBlockImages, does.masks);
}

}  // namespace semcbir
