// SPDX-License-Identifier: MIT
// The images of a block of a screen as bits, and what is as small. Kernels include it, too: functions are put
// in the place of their calls, so that no file uses another one's instructions (see kernels_impl.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(_MSC_VER) && !defined(__clang__)
#define SEMCBIR_INLINE __forceinline
#else
#define SEMCBIR_INLINE inline __attribute__((always_inline))
#endif

namespace semcbir {

/// Images of a block: alike ones share blocks, and a block's columns stay in the cache.
constexpr std::size_t kBlockImages = 256;
/// Bits of a mask.
constexpr std::size_t kMaskBits = 16;
/// Masks for the images of a block.
constexpr std::size_t kMasks = kBlockImages / kMaskBits;
/// Bytes of a cache line.
constexpr std::size_t kLine = 64;

/// How many of the lower 16 bits are set; an instruction where the file's flags have it.
SEMCBIR_INLINE std::size_t count_bits(unsigned x) {
#if defined(__POPCNT__) || defined(__aarch64__)
  return static_cast<std::size_t>(__builtin_popcount(x & 0xffffU));
#else
  x -= x >> 1U & 0x5555U;
  x = (x & 0x3333U) + (x >> 2U & 0x3333U);
  x = (x + (x >> 4U)) & 0x0f0fU;
  return (x + (x >> 8U)) & 0x1fU;
#endif
}

/// The number of the lowest of 16 bits that is set; there is one.
SEMCBIR_INLINE std::size_t lowest_bit(unsigned x) {
#if defined(__GNUC__) || defined(__clang__)
  return static_cast<std::size_t>(__builtin_ctz(x));
#else
  return count_bits((x & (~x + 1U)) - 1U);
#endif
}

/// The float whose upper 16 bits these are (bfloat16).
SEMCBIR_INLINE float float_of_upper(std::uint32_t upper) {
  const std::uint32_t bits = upper << 16U;
  float x = 0;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

/// The scale of a row and its error, of a step of both; see PartView::steps.
SEMCBIR_INLINE float row_scale(std::uint32_t step) { return float_of_upper(step >> 16U); }
SEMCBIR_INLINE float row_error(std::uint32_t step) { return float_of_upper(step & 0xffffU); }

/// Asks for memory that will be read soon; the answer comes while other work is done.
SEMCBIR_INLINE void prefetch(const void* bytes, std::size_t size) {
#if defined(__GNUC__) || defined(__clang__)
  const auto* at = static_cast<const char*>(bytes);
  for (std::size_t i = 0; i < size; i += kLine) __builtin_prefetch(at + i);
#else
  (void)bytes;
  (void)size;
#endif
}

}  // namespace semcbir
