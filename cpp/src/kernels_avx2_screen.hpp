// SPDX-License-Identifier: MIT
// The kernels of screens for AVX2; included by the files of levels that have it, for the reasons that
// kernels_impl.hpp gives.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.hpp"

namespace semcbir {
namespace {

constexpr std::size_t kGroup = 4;
constexpr std::size_t kTile = 16;

struct Avx2Screen {
  /// Eight rows of a tile: the products of two pairs of entries each, in 32 bits.
  struct Pairs {
    __m256i low;   // rows 0, 1, 4, 5
    __m256i high;  // rows 2, 3, 6, 7
  };

  static Pairs add_group(const Pairs& sums, const std::uint8_t* entries, __m256i query) {
    const __m256i rows = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(entries));
    const __m256i zero = _mm256_setzero_si256();
    const __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi8(rows, zero), query);
    const __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi8(rows, zero), query);
    return {_mm256_add_epi32(sums.low, low), _mm256_add_epi32(sums.high, high)};
  }

  /// The terms of eight rows.
  static void store_terms(__m256i dots, const ScreenTile& tile, const ScreenRow& query, std::size_t first,
                          float* terms) {
    const __m256 dot = _mm256_cvtepi32_ps(_mm256_sub_epi32(dots, _mm256_set1_epi32(query.sum)));
    const __m256 term =
        _mm256_add_ps(_mm256_mul_ps(dot, _mm256_set1_ps(query.product)), _mm256_set1_ps(query.off));
    const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tile.norms + first));
    const __m256 norms =
        _mm256_mul_ps(_mm256_set1_ps(query.norm), _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(narrow)));
    const __m256 scaled = _mm256_mul_ps(term, _mm256_loadu_ps(tile.scales + first));
    _mm256_storeu_ps(terms + first, _mm256_add_ps(scaled, norms));
  }

  static void tile_terms(const ScreenTile& tile, const ScreenRow& query, std::size_t groups,
                         float terms[kTile]) {
    const __m256i zero = _mm256_setzero_si256();
    Pairs first{zero, zero};
    Pairs second{zero, zero};
    for (std::size_t g = 0; g < groups; ++g) {
      std::int32_t packed;
      std::memcpy(&packed, query.entries + g * kGroup, sizeof(packed));
      const __m256i four = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(packed)));
      first = add_group(first, tile.entries + g * tile.stride, four);
      second = add_group(second, tile.entries + g * tile.stride + 32, four);
    }
    store_terms(_mm256_hadd_epi32(first.low, first.high), tile, query, 0, terms);
    store_terms(_mm256_hadd_epi32(second.low, second.high), tile, query, 8, terms);
  }

  static void add_minima(std::uint16_t* sums, const std::uint16_t* column, std::uint16_t value,
                         std::size_t n) {
    const __m256i v = _mm256_set1_epi16(static_cast<short>(value));
    for (std::size_t i = 0; i < n; i += 16) {
      auto* out = reinterpret_cast<__m256i*>(sums + i);
      const __m256i one = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(column + i));
      _mm256_storeu_si256(out, _mm256_add_epi16(_mm256_loadu_si256(out), _mm256_min_epu16(one, v)));
    }
  }

  static void add_products(float* sums, const std::uint16_t* column, float factor, std::size_t n) {
    const __m256 f = _mm256_set1_ps(factor);
    for (std::size_t i = 0; i < n; i += 8) {
      const __m128i narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(column + i));
      const __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(narrow));
      _mm256_storeu_ps(sums + i, _mm256_add_ps(_mm256_loadu_ps(sums + i), _mm256_mul_ps(f, x)));
    }
  }

  static void at_least(const std::uint16_t* values, std::uint16_t least, std::size_t n,
                       std::uint16_t* masks) {
    const __m256i v = _mm256_set1_epi16(static_cast<short>(least));
    for (std::size_t i = 0; i < n; i += 16) {
      const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i));
      const __m256i yes = _mm256_cmpeq_epi16(_mm256_max_epu16(x, v), x);
      const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(yes), _mm256_extracti128_si256(yes, 1));
      masks[i / 16] = static_cast<std::uint16_t>(_mm_movemask_epi8(bytes));
    }
  }

  static void clear_above(const float* values, float most, std::size_t n, std::uint16_t* masks) {
    const __m256 v = _mm256_set1_ps(most);
    for (std::size_t i = 0; i < n; i += 16) {
      const int low = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values + i), v, _CMP_NGT_UQ));
      const int high = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values + i + 8), v, _CMP_NGT_UQ));
      masks[i / 16] = static_cast<std::uint16_t>(masks[i / 16] & (low | high << 8));
    }
  }
};

}  // namespace
}  // namespace semcbir
