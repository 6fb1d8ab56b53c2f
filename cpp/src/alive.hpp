// SPDX-License-Identifier: MIT
// Which images of a block are still in question.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "block_images.hpp"

namespace semcbir {

/// Which images of a block are still in question: bit i % 16 of masks[i / 16].
struct Alive {
  std::uint16_t masks[kMasks];

  bool any() const {
    unsigned all = 0;
    for (const std::uint16_t m : masks) all |= m;
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
    // Four masks at once: sums of 2, 4 and then 8 bits, which are added up by a product.
    std::uint64_t count = 0;
    for (std::size_t m = 0; m < kMasks; m += 4) {
      std::uint64_t x = 0;
      std::memcpy(&x, masks + m, sizeof(x));
      x -= x >> 1U & 0x5555555555555555U;
      x = (x & 0x3333333333333333U) + (x >> 2U & 0x3333333333333333U);
      x = (x + (x >> 4U)) & 0x0f0f0f0f0f0f0f0fU;
      count += x * 0x0101010101010101U >> 56U;
    }
    return static_cast<std::int64_t>(count);
  }
};

}  // namespace semcbir
