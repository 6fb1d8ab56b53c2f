// SPDX-License-Identifier: MIT
// Which images of a block are still in question.
#pragma once

#include <cstddef>
#include <cstdint>

#include "block_images.hpp"

namespace semcbir {

/// Which images of a block are still in question: bit i % 16 of masks[i / 16].
struct Alive {
  std::uint16_t masks[kMasks];

  bool any() const {
    std::uint16_t all = 0;
    for (const std::uint16_t m : masks) all = static_cast<std::uint16_t>(all | m);
    return all != 0;
  }

  bool has(std::size_t place) const { return (masks[place / kMaskBits] >> place % kMaskBits & 1U) != 0; }

  void clear(std::size_t place) {
    std::uint16_t& mask = masks[place / kMaskBits];
    mask = static_cast<std::uint16_t>(mask & ~(1U << place % kMaskBits));
  }

  template <class F>
  void for_each(const F& f) const {
    for (std::size_t m = 0; m < kMasks; ++m) {
      for (unsigned bits = masks[m]; bits != 0; bits &= bits - 1) f(m * kMaskBits + lowest_bit(bits));
    }
  }

  std::int64_t count() const {
    std::size_t count = 0;
    for (const std::uint16_t mask : masks) count += count_bits(mask);
    return static_cast<std::int64_t>(count);
  }
};

}  // namespace semcbir
