// SPDX-License-Identifier: MIT
#include "scanner.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bounds.hpp"
#include "exact.hpp"
#include "rounding.hpp"

namespace semcbir {
namespace {

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

/// Bytes of a class's shares or norms in a block.
std::int64_t column_bytes(const PartView& part) {
  return static_cast<std::int64_t>(part.has_columns() ? kColumnBytes
                                                      : part.rows() * (sizeof(std::uint16_t) + 1));
}

}  // namespace

Scanner::Scanner(const std::vector<ScreenedSegment>& segments, std::size_t k, const Kernels& kernels,
                 bool counting)
    : segments_(segments), k_(k), kernels_(kernels), counting_(counting), passing_(kernels) {}

void Scanner::prepare(std::size_t segment, std::size_t number, const ScreenQuery& query,
                      const std::vector<Common>& common, Visit& visit) const {
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
    visit.shared.push_back({{memory, *part}, one.asked});
  }
  if (!query.counts()) {
    fetch_norms(visit);
    return;
  }
  for (const Shared& s : visit.shared) {
    if (s.asked->is_judged()) prefetch(s.part.shares(), s.part.has_columns() ? kColumnBytes : kLine);
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

/// Finds the images of the block that are wanted; false if there are none.
bool Scanner::passing(const Visit& visit, const ScreenQuery& query, Wanted wanted, Found& found) {
  const ScreenedSegment& segment = segments_[visit.segment];
  std::memcpy(alive_.masks, &segment.live[visit.block * kMasks], sizeof(alive_.masks));
  if (!query.counts()) return alive_.any();
  found.work.bytes += share_bytes(visit);
  const Alive does = passing_.judge(segment, visit, query, alive_);
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
    if (s.asked->moves()) prefetch(s.part.norms(), s.part.has_columns() ? kColumnBytes + kLine : kLine);
  }
}

/// Bounds all distances by norms: |q|^2 + |x|^2 - 2 sum of |q_c| |x_c|. False if no image is left.
bool Scanner::estimate(const Visit& visit, const ScreenQuery& query, float bound, Found& found) {
  found.work.bytes += norm_bytes(visit) + static_cast<std::int64_t>(sizeof(float) * kBlockImages);
  if (query.counts()) fetch_norms(visit);
  const float* lengths = block(visit).lengths();
  for (std::size_t i = 0; i < kBlockImages; ++i) least_[i] = base(query, lengths[i]) + query.length;
  columns_.clear();
  factors_.clear();
  parabolas_.clear();
  for (const Shared& s : visit.shared) {
    if (!s.asked->moves()) continue;
    Parabola parabola = parabola_of(query, *s.asked, screen(visit).norm_step);
    if (!s.part.has_columns()) {
      for (std::size_t r = 0; r < s.part.rows(); ++r) {
        least_[s.part.places()[r]] += value_of(parabola, s.part.norms()[r]);
      }
      continue;
    }
    parabola.column = s.part.norms();
    if (parabola.square != 0 || query.unit_rows) {
      parabolas_.push_back(parabola);
    } else {
      columns_.push_back(parabola.column);
      factors_.push_back(parabola.factor);
    }
  }
  kernels_.add_products(least_, columns_.data(), factors_.data(), columns_.size(), kBlockImages);
  kernels_.add_parabolas(least_, parabolas_.data(), parabolas_.size(), kBlockImages);
  kernels_.clear_above(least_, bound, kBlockImages, alive_.masks);
  return alive_.any();
}

/// Replaces norms by products of entries, class by class, while images are left.
void Scanner::refine(const Visit& visit, const ScreenQuery& query, const SharedBound& bound, Found& found) {
  const Screen& screen = this->screen(visit);
  std::fill(errors_, errors_ + kBlockImages, 0.0F);
  for (const Shared& s : visit.shared) {
    const PartView& part = s.part;
    const ScreenClass& asked = *s.asked;
    if (asked.norm == 0.0F) continue;
    ScreenRow row{&query.entries[asked.entries_start],  -2.0F * asked.scale,
                  2.0F * asked.norm * screen.norm_step, 2.0F * asked.stored,
                  2.0F * asked.off * screen.norm_step,  0.0F};
    const float most = bound.get();
    if (counting_) found.work.bytes += row_bytes(part, screen.width);
    if (query.unit_rows) {
      add_unit_rows(part, query, asked, screen, most);
    } else if (part.has_columns()) {
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

/// Bytes of shares that are read together.
std::int64_t Scanner::share_bytes(const Visit& visit) const {
  if (!counting_) return 0;
  std::int64_t bytes = 0;
  for (const Shared& s : visit.shared) bytes += s.asked->is_judged() ? column_bytes(s.part) : 0;
  return bytes;
}

/// Bytes of norms that are read together.
std::int64_t Scanner::norm_bytes(const Visit& visit) const {
  if (!counting_) return 0;
  std::int64_t bytes = 0;
  for (const Shared& s : visit.shared) bytes += s.asked->moves() ? column_bytes(s.part) : 0;
  return bytes;
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

/// Finds the rows of a class whose images are still in question; returns how many there are.
std::size_t Scanner::find_alive(const PartView& part) {
  std::size_t count = 0;
  if (!part.has_columns()) {
    for (std::size_t r = 0; r < part.rows(); ++r) {
      if (!alive_.has(part.places()[r])) continue;
      numbers_[count] = static_cast<std::uint8_t>(r);
      places_[count++] = part.places()[r];
    }
    return count;
  }
  for (std::size_t m = 0; m < kMasks; ++m) {
    const unsigned present = part.present()[m];
    for (unsigned bits = alive_.masks[m] & present; bits != 0; bits &= bits - 1) {
      const std::size_t at = lowest_bit(bits);
      const unsigned below = (1U << at) - 1U;
      numbers_[count] = static_cast<std::uint8_t>(part.before()[m] + count_bits(present & below));
      places_[count++] = static_cast<std::uint8_t>(m * kMaskBits + at);
    }
  }
  return count;
}

/// Kernels::add_row_terms for a class without columns.
void Scanner::add_few(const PartView& part, std::size_t width, const ScreenRow& row, float most) {
  const std::size_t count = find_alive(part);
  std::int32_t products[kFewestForColumn];
  kernels_.row_products(part.entries(), width, numbers_, count, row.entries, products);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t r = numbers_[i];
    const std::size_t place = places_[i];
    add_row_term(row, products[i], part.steps()[r], part.norms()[r], least_[place], errors_[place]);
    if (least_[place] > most) alive_.clear(place);
  }
}

/// The same for rows that count at length 1: weight times (2 - 2 cos), where the norms' steps and the rows'
/// errors leave the cosine between two bounds.
void Scanner::add_unit_rows(const PartView& part, const ScreenQuery& query, const ScreenClass& asked,
                            const Screen& screen, float most) {
  const std::size_t count = find_alive(part);
  std::int32_t products[kBlockImages];
  const std::int16_t* entries = &query.entries[asked.entries_start];
  kernels_.row_products(part.entries(), screen.width, numbers_, count, entries, products);
  float center = 0;
  if (part.has_columns()) {
    const ScreenRow row{entries, asked.scale, 0, 0, 0, 0};
    center = center_term(part, screen.width, row);
  }
  const float weight = asked.square;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = places_[i];
    const std::uint16_t norm = part.norms()[part.has_columns() ? place : numbers_[i]];
    if (norm == 0) continue;  // a null row, which estimate() has counted
    const std::uint32_t step = part.steps()[numbers_[i]];
    const float longest = static_cast<float>(norm) * screen.norm_step;
    const float shortest = static_cast<float>(norm - 1) * screen.norm_step * (1.0F - 4e-6F);
    const float product = static_cast<float>(products[i]) * asked.scale * row_scale(step) + center;
    const float off = asked.stored * row_error(step) + asked.off * longest;
    // Of the weight times the cosine.
    const auto divided = [&](float x, bool up) {
      const float length = (x >= 0) == up ? shortest : longest;
      return std::max(-weight, std::min(weight, length > 0 ? x / length : x >= 0 ? weight : -weight));
    };
    const float highest = divided(product + off, true);
    const float lowest = divided(product - off, false);
    least_[place] += 2.0F * (weight - highest);
    errors_[place] += highest - lowest;
    if (least_[place] > most) alive_.clear(place);
  }
}

/// The images left that have no row of a class that counts, where others do not count.
Alive Scanner::lone(const Visit& visit, const ScreenQuery& query) const {
  if (query.whole) return {};
  Alive lone = alive_;
  for (const Shared& s : visit.shared) {
    if (!s.asked->moves()) continue;
    for (std::size_t m = 0; m < kMasks && s.part.has_columns(); ++m) {
      lone.masks[m] = static_cast<std::uint16_t>(lone.masks[m] & ~s.part.present()[m]);
    }
    for (std::size_t r = 0; r < s.part.rows() && !s.part.has_columns(); ++r) lone.clear(s.part.places()[r]);
  }
  return lone;
}

/// Notes the images that are left, and lowers the bound.
void Scanner::collect(const Visit& visit, const ScreenQuery& query, SharedBound& bound, Found& found) const {
  const ScreenBlock& block = this->block(visit);
  const float own = query.unit_rows ? 0.0F : block.slack;
  const double slack = static_cast<double>(own) + static_cast<double>(query.slack);
  // Sums of so many floats are off by less.
  const double twice = 2.0 + 2e-6 * static_cast<double>(visit.shared.size() + 4);
  const Alive lone = this->lone(visit, query);
  const auto segment = static_cast<std::uint32_t>(visit.segment);
  const auto first = static_cast<std::uint32_t>(block.first);
  alive_.for_each([&](std::size_t place) {
    const float least = least_[place];
    if (least > bound.get()) return;
    found.possible.push_back({least, segment, first + static_cast<std::uint32_t>(place), lone.has(place)});
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
