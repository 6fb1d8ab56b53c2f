// SPDX-License-Identifier: MIT
#include "scanner.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "exact.hpp"
#include "ranking.hpp"
#include "rounding.hpp"
#include "semcbir/histogram.hpp"

namespace semcbir {
namespace {

/// Stands for shares of 1 where they are not known.
constexpr std::uint16_t kAnyShare = 0xffff;
constexpr std::size_t kColumnBytes = sizeof(std::uint16_t) * kBlockImages;

/// Puts a smaller number in the place of the largest of a heap.
void replace_largest(std::vector<float>& heap, float x) {
  const std::size_t n = heap.size();
  std::size_t i = 0;
  for (std::size_t child = 1; child < n; child = 2 * i + 1) {
    child += child + 1 < n && heap[child] < heap[child + 1] ? 1 : 0;
    if (!(x < heap[child])) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = x;
}

}  // namespace

Scanner::Scanner(const std::vector<ScreenedSegment>& segments, const SearchOptions& options,
                 const Kernels& kernels, bool counting)
    : segments_(segments),
      k_(options.k),
      filtered_(options.epsilon < kEverything),
      epsilon_(options.epsilon),
      kernels_(kernels),
      counting_(counting) {
  if (!filtered_) return;
  const double least = 1.0 - options.epsilon / 2.0;  // of the sum of minima, where proportions sum to 1
  const double steps = static_cast<double>(kProportionSteps);
  possible_ = static_cast<std::uint16_t>(std::max(0.0, std::ceil((least - 1.1 * kProportionsOff) * steps)));
  certain_ = static_cast<std::size_t>(std::max(0.0, std::ceil((least + 1.1 * kProportionsOff) * steps)));
}

std::vector<Common> Scanner::outline(std::size_t segment, const ScreenQuery& query, float* least,
                                     std::uint16_t* shares) {
  const Screen& screen = *segments_[segment].screen;
  const std::size_t n = screen.padded_blocks();
  for (std::size_t b = 0; b < n; ++b) least[b] = screen.shortest[b] + query.length;
  if (filtered_) std::fill(shares, shares + n, std::uint16_t{0});
  std::vector<Common> common;
  std::size_t i = 0;
  for (std::size_t c = 0; c < screen.summaries.size() && i < query.rows.count;) {
    const std::uint16_t label = query.rows.classes[i];
    const std::uint16_t summary = screen.summaries[c].label;
    if (summary == label) common.push_back({&screen.summaries[c], i});
    c += summary <= label ? 1 : 0;
    i += label <= summary ? 1 : 0;
  }
  columns_.clear();
  factors_.clear();
  for (const Common& one : common) {
    if (one.summary->entries != 0) {
      add_entries(screen, one, query, least, shares);
      continue;
    }
    columns_.push_back(&screen.norms[one.summary->first]);
    factors_.push_back(-2.0F * query.norms[one.row] * screen.norm_step);
  }
  kernels_.add_products(least, columns_.data(), factors_.data(), columns_.size(), n);
  if (filtered_) {
    columns_.clear();
    values_.clear();
    for (const Common& one : common) {
      if (one.summary->entries != 0) continue;
      columns_.push_back(&screen.shares[one.summary->first]);
      values_.push_back(query.shares[one.row]);
    }
    kernels_.add_minima(shares, columns_.data(), values_.data(), columns_.size(), n);
  }
  // Every class is rounded twice, to no more than this.
  const double steps = 2.0 * 65535.0 * static_cast<double>(screen.norm_step);
  double largest = static_cast<double>(query.length);
  for (const float norm : query.norms) largest += steps * static_cast<double>(norm);
  // In float, as the slack is many times what is needed.
  const auto slack = static_cast<float>(relative_slack(query.rows.count));
  const float most = rounded_up(largest);
  for (std::size_t b = 0; b < n; ++b) {
    const float length = std::fabs(screen.shortest[b]);
    const float rounding = slack * (most + length);
    least[b] -= length < static_cast<float>(kLargestSquare) ? rounding : 0.0F;
  }
  for (std::size_t b = 0; b < n && filtered_; ++b) {
    shares[b] = screen.unsure[b] != 0 ? kAnyShare : shares[b];
  }
  std::stable_sort(common.begin(), common.end(),
                   [&](const Common& a, const Common& b) { return query.norms[a.row] > query.norms[b.row]; });
  return common;
}

std::int64_t Scanner::outline_bytes(std::size_t segment, const std::vector<Common>& common) const {
  const Screen& screen = *segments_[segment].screen;
  const std::size_t column = screen.padded_blocks() * sizeof(std::uint16_t);
  std::size_t bytes = screen.padded_blocks() * sizeof(float);
  for (const Common& one : common) {
    const std::size_t entries = one.summary->entries;
    bytes += entries != 0 ? entries * sizeof(ScreenEntry) : column * (filtered_ ? 2 : 1);
  }
  return static_cast<std::int64_t>(bytes);
}

void Scanner::add_entries(const Screen& screen, const Common& common, const ScreenQuery& query, float* least,
                          std::uint16_t* shares) const {
  const std::uint16_t p = query.shares[common.row];
  const float factor = -2.0F * query.norms[common.row] * screen.norm_step;
  const ScreenSummary& summary = *common.summary;
  for (std::size_t e = summary.first; e < summary.first + summary.entries; ++e) {
    const ScreenEntry& entry = screen.entries[e];
    if (filtered_) {
      std::uint16_t& share = shares[entry.block];
      share = static_cast<std::uint16_t>(share + std::min(p, entry.largest_share));
    }
    least[entry.block] += factor * static_cast<float>(entry.largest_norm);
  }
}

void Scanner::prepare(std::size_t segment, std::size_t number, const std::vector<Common>& common,
                      Visit& visit) const {
  const Screen& screen = *segments_[segment].screen;
  const std::uint8_t* memory = screen.blocks[number].memory;
  visit.segment = segment;
  visit.block = number;
  visit.shared.clear();
  for (const Common& one : common) {
    const ScreenSummary& summary = *one.summary;
    const ScreenPart* part = nullptr;
    if (summary.entries == 0) {
      part = &screen.parts[summary.first + number];
      if (part->rows() == 0) continue;
    } else {
      const ScreenEntry* first = &screen.entries[summary.first];
      const ScreenEntry* last = first + summary.entries;
      const ScreenEntry* entry = std::lower_bound(
          first, last, number, [](const ScreenEntry& e, std::size_t block) { return e.block < block; });
      if (entry == last || entry->block != number) continue;
      part = &entry->part;
    }
    visit.shared.push_back({{memory, *part}, one.row});
  }
  if (!filtered_) fetch_norms(visit);
  for (const Shared& s : visit.shared) {
    if (filtered_) prefetch(s.part.shares(), s.part.has_columns() ? kColumnBytes : kLine);
  }
}

void Scanner::scan(const Visit& visit, bool far, const ScreenQuery& query, Wanted wanted, SharedBound& bound,
                   Found& found) {
  ++found.work.blocks;
  if (!passing(visit, query, wanted, found) || far) return;
  if (!estimate(visit, query, bound.get(), found)) return;
  refine(visit, query, bound, found);
  collect(visit, query, bound, found);
}

/// Sums the smaller of the two shares over the classes that query and block share, for each image.
void Scanner::sum_shares(const Visit& visit, const ScreenQuery& query, std::uint16_t* sums) {
  columns_.clear();
  values_.clear();
  for (const Shared& s : visit.shared) {
    const std::uint16_t p = query.shares[s.row];
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
}

/// Finds the images of the block that are wanted; false if there are none.
bool Scanner::passing(const Visit& visit, const ScreenQuery& query, Wanted wanted, Found& found) {
  const ScreenedSegment& segment = segments_[visit.segment];
  std::memcpy(alive_.masks, &segment.live[visit.block * kMasks], sizeof(alive_.masks));
  if (!filtered_) return alive_.any();
  found.work.bytes += column_bytes(visit);
  const ScreenBlock& block = this->block(visit);
  std::uint16_t sums[kBlockImages] = {};
  sum_shares(visit, query, sums);
  Alive may{};
  Alive does{};
  kernels_.at_least(sums, possible_, kBlockImages, may.masks);
  const std::size_t certain = certain_ + visit.shared.size();
  if (certain <= 0xffff)
    kernels_.at_least(sums, static_cast<std::uint16_t>(certain), kBlockImages, does.masks);
  Alive ask{};
  for (std::size_t m = 0; m < kMasks; ++m) {
    const std::uint16_t unsure = block.unsure[m];
    ask.masks[m] = static_cast<std::uint16_t>(alive_.masks[m] & ((may.masks[m] & ~does.masks[m]) | unsure));
    does.masks[m] = static_cast<std::uint16_t>(alive_.masks[m] & does.masks[m] & ~unsure);
  }
  const Screen& screen = *segment.screen;
  ask.for_each([&](std::size_t place) {
    const std::uint32_t image = screen.order[block.first + place];
    const double h = histogram_distance(query.rows, image_rows(*segment.view, image, screen.dim));
    if (h <= epsilon_) does.masks[place / kMaskBits] |= bit(place);
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

/// Has memory fetch what `estimate` reads, and which images have the classes.
void Scanner::fetch_norms(const Visit& visit) const {
  prefetch(block(visit).lengths(), sizeof(float) * kBlockImages);
  for (const Shared& s : visit.shared) {
    prefetch(s.part.norms(), s.part.has_columns() ? kColumnBytes + kLine : kLine);
  }
}

/// Bounds all distances by norms: |q|^2 + |x|^2 - 2 sum of |q_c| |x_c|. False if no image is left.
bool Scanner::estimate(const Visit& visit, const ScreenQuery& query, float bound, Found& found) {
  found.work.bytes += column_bytes(visit) + static_cast<std::int64_t>(sizeof(float) * kBlockImages);
  if (filtered_) fetch_norms(visit);
  const float* lengths = block(visit).lengths();
  for (std::size_t i = 0; i < kBlockImages; ++i) least_[i] = lengths[i] + query.length;
  columns_.clear();
  factors_.clear();
  for (const Shared& s : visit.shared) {
    const float factor = -2.0F * query.norms[s.row] * screen(visit).norm_step;
    if (s.part.has_columns()) {
      columns_.push_back(s.part.norms());
      factors_.push_back(factor);
      continue;
    }
    for (std::size_t r = 0; r < s.part.rows(); ++r) {
      least_[s.part.places()[r]] += factor * static_cast<float>(s.part.norms()[r]);
    }
  }
  kernels_.add_products(least_, columns_.data(), factors_.data(), columns_.size(), kBlockImages);
  kernels_.clear_above(least_, bound, kBlockImages, alive_.masks);
  return alive_.any();
}

/// Replaces norms by products of entries, class by class, while images are left.
void Scanner::refine(const Visit& visit, const ScreenQuery& query, const SharedBound& bound, Found& found) {
  const Screen& screen = this->screen(visit);
  std::fill(errors_, errors_ + kBlockImages, 0.0F);
  for (const Shared& s : visit.shared) {
    const PartView& part = s.part;
    ScreenRow row{&query.entries[s.row * screen.width],         -2.0F * query.scales[s.row],
                  2.0F * query.norms[s.row] * screen.norm_step, 2.0F * query.stored[s.row],
                  2.0F * query.offs[s.row] * screen.norm_step,  0.0F};
    const float most = bound.get();
    if (counting_) found.work.bytes += row_bytes(part, screen.width);
    if (part.has_columns()) {
      row.center = center_term(part, screen.width, row);
      const ScreenRows rows{part.entries(), screen.width,  part.steps(),
                            part.present(), part.before(), part.norms()};
      kernels_.add_row_terms(rows, row, most, alive_.masks, least_, errors_);
    } else {
      add_few(part, screen.width, row, most);
    }
    if (!alive_.any()) return;
  }
}

/// Bytes of shares, or of norms, that are read together.
std::int64_t Scanner::column_bytes(const Visit& visit) const {
  if (!counting_) return 0;
  std::size_t bytes = 0;
  for (const Shared& s : visit.shared) {
    bytes += s.part.has_columns() ? kColumnBytes : s.part.rows() * (sizeof(std::uint16_t) + 1);
  }
  return static_cast<std::int64_t>(bytes);
}

/// Bytes of rows, with their steps, of images that are still in question.
std::int64_t Scanner::row_bytes(const PartView& part, std::size_t width) const {
  std::size_t rows = 0;
  if (part.has_columns()) {
    for (std::size_t m = 0; m < kMasks; ++m)
      rows += count_bits(alive_.masks[m] & unsigned{part.present()[m]});
  } else {
    for (std::size_t r = 0; r < part.rows(); ++r) rows += alive_.has(part.places()[r]) ? 1 : 0;
  }
  return static_cast<std::int64_t>(rows * (width + sizeof(std::uint32_t)));
}

float Scanner::center_term(const PartView& part, std::size_t width, const ScreenRow& row) const {
  const std::uint8_t first = 0;
  std::int32_t product = 0;
  kernels_.row_products(part.entries() + part.rows() * width, width, &first, 1, row.entries, &product);
  return static_cast<float>(product) * row.product * row_scale(part.steps()[part.rows()]);
}

/// Kernels::add_row_terms for a class without columns.
void Scanner::add_few(const PartView& part, std::size_t width, const ScreenRow& row, float most) {
  std::uint8_t numbers[kFewestForColumn] = {};
  std::size_t count = 0;
  for (std::size_t r = 0; r < part.rows(); ++r) {
    if (alive_.has(part.places()[r])) numbers[count++] = static_cast<std::uint8_t>(r);
  }
  std::int32_t products[kFewestForColumn];
  kernels_.row_products(part.entries(), width, numbers, count, row.entries, products);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t r = numbers[i];
    const std::size_t place = part.places()[r];
    add_row_term(row, products[i], part.steps()[r], part.norms()[r], least_[place], errors_[place]);
    if (least_[place] > most) alive_.clear(place);
  }
}

/// Notes the images that are left, and lowers the bound.
void Scanner::collect(const Visit& visit, const ScreenQuery& query, SharedBound& bound, Found& found) const {
  const ScreenBlock& block = this->block(visit);
  const double slack = static_cast<double>(block.slack) + static_cast<double>(query.slack);
  // Sums of so many floats are off by less.
  const double twice = 2.0 + 2e-6 * static_cast<double>(visit.shared.size() + 4);
  const auto segment = static_cast<std::uint32_t>(visit.segment);
  const auto first = static_cast<std::uint32_t>(block.first);
  alive_.for_each([&](std::size_t place) {
    const float least = least_[place];
    if (least > bound.get()) return;
    found.possible.push_back({least, segment, first + static_cast<std::uint32_t>(place)});
    if (!std::isfinite(least)) return;
    const float most =
        rounded_up(static_cast<double>(least) + twice * static_cast<double>(errors_[place]) + slack);
    if (found.bounds.size() < k_) {
      found.bounds.push_back(most);
      std::push_heap(found.bounds.begin(), found.bounds.end());
    } else if (most < found.bounds.front()) {
      replace_largest(found.bounds, most);
    } else {
      return;
    }
    if (found.bounds.size() == k_) bound.lower(found.bounds.front());
  });
}

}  // namespace semcbir
