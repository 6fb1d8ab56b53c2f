// SPDX-License-Identifier: MIT
#include "label_counts.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace semcbir {
namespace {

/// Single labels are counted in several tables in turn, so that no increment waits for the one before it.
constexpr std::size_t kTables = 4;

template <class Label>
constexpr std::size_t kLabelsPerWord = sizeof(std::uint64_t) / sizeof(Label);

template <class Label>
std::uint64_t load_word(const Label* labels) {
  std::uint64_t word;
  std::memcpy(&word, labels, sizeof word);
  return word;
}

template <class Label>
bool all_equal(std::uint64_t word) {
  constexpr unsigned bits = 8 * sizeof(Label);
  return word == (word << bits | word >> (64 - bits));
}

/// A number that no label exceeds, less than twice the highest label. Faster than their maximum, for which
/// baseline x86-64 has no operation on unsigned 16-bit numbers.
template <class Label>
std::size_t upper_bound(const Label* labels, std::size_t n) {
  Label bits = 0;
  for (std::size_t i = 0; i < n; ++i) bits = static_cast<Label>(bits | labels[i]);
  return bits;
}

}  // namespace

template <class Label>
std::vector<std::uint64_t> count_labels(const Label* labels, std::size_t n) {
  if (n == 0) return {};
  const std::size_t bins = upper_bound(labels, n) + 1;
  std::vector<std::uint64_t> tables(kTables * bins);
  constexpr std::size_t step = kLabelsPerWord<Label>;
  std::size_t i = 0;
  while (i + step <= n) {
    const std::uint64_t word = load_word(labels + i);
    if (all_equal<Label>(word)) {  // the usual case: regions are wider than a word
      const std::size_t first = i;
      do i += step;
      while (i + step <= n && load_word(labels + i) == word);
      tables[labels[first]] += i - first;
    } else {
      for (std::size_t j = 0; j < step; ++j) ++tables[j % kTables * bins + labels[i + j]];
      i += step;
    }
  }
  for (; i < n; ++i) ++tables[labels[i]];
  for (std::size_t t = 1; t < kTables; ++t) {
    for (std::size_t label = 0; label < bins; ++label) tables[label] += tables[t * bins + label];
  }
  tables.resize(bins);
  return tables;
}

template std::vector<std::uint64_t> count_labels(const std::uint8_t*, std::size_t);
template std::vector<std::uint64_t> count_labels(const std::uint16_t*, std::size_t);

}  // namespace semcbir
