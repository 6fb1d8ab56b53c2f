// SPDX-License-Identifier: MIT
// Counts the pixels of each label in a label map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace semcbir {

/// How often each label occurs among n labels, from label 0 to at least the highest one.
template <class Label>
std::vector<std::uint64_t> count_labels(const Label* labels, std::size_t n);

extern template std::vector<std::uint64_t> count_labels(const std::uint8_t*, std::size_t);
extern template std::vector<std::uint64_t> count_labels(const std::uint16_t*, std::size_t);

}  // namespace semcbir
