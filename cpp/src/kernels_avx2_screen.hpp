// SPDX-License-Identifier: MIT
// The kernels of screens for AVX2; included by the files of levels that have it, for the reasons that
// kernels_impl.hpp gives.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels.hpp"
#include "screen_rows_impl.hpp"

namespace semcbir {
namespace {

struct Avx2Screen {
  /// The sums of the entries of each of four.
  static __m128i sums(__m256i a, __m256i b, __m256i c, __m256i d) {
    const __m256i halves = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  }

  static __m256i add_products(__m256i sum, const std::int8_t* row, __m256i query) {
    const __m256i entries = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row)));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(entries, query));
  }

  static void row_products(const std::int8_t* rows, std::size_t width, const std::uint8_t* numbers,
                           std::size_t n, const std::int16_t* query, std::int32_t* products) {
    for (std::size_t i = 0; i < n; i += 4) {
      const std::int8_t* row[4];
      for (std::size_t r = 0; r < 4; ++r) row[r] = rows + numbers[i + r < n ? i + r : i] * width;
      __m256i sum[4] = {};
      for (std::size_t d = 0; d < width; d += 16) {
        const __m256i q = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query + d));
        for (std::size_t r = 0; r < 4; ++r) sum[r] = add_products(sum[r], row[r] + d, q);
      }
      const __m128i four = sums(sum[0], sum[1], sum[2], sum[3]);
      if (i + 4 <= n) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(products + i), four);
        continue;
      }
      std::int32_t last[4];
      _mm_storeu_si128(reinterpret_cast<__m128i*>(last), four);
      for (std::size_t r = i; r < n; ++r) products[r] = last[r - i];
    }
  }

  static void add_row_terms(const ScreenRows& rows, const ScreenRow& query, float most, std::uint16_t* alive,
                            float* least, float* errors) {
    semcbir::add_row_terms(rows, query, most, alive, least, errors, row_products);
  }

  /// add_minima for `Width` times 16 of the sums, which stay in registers.
  template <std::size_t Width>
  static void minima(std::uint16_t* sums, const std::uint16_t* const* columns, const std::uint16_t* values,
                     std::size_t count, std::size_t first) {
    __m256i total[Width];
    for (std::size_t w = 0; w < Width; ++w) {
      total[w] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums + first + 16 * w));
    }
    for (std::size_t c = 0; c < count; ++c) {
      const __m256i v = _mm256_set1_epi16(static_cast<short>(values[c]));
      for (std::size_t w = 0; w < Width; ++w) {
        const auto* column = reinterpret_cast<const __m256i*>(columns[c] + first + 16 * w);
        total[w] = _mm256_add_epi16(total[w], _mm256_min_epu16(_mm256_loadu_si256(column), v));
      }
    }
    for (std::size_t w = 0; w < Width; ++w) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + first + 16 * w), total[w]);
    }
  }

  static void add_minima(std::uint16_t* sums, const std::uint16_t* const* columns,
                         const std::uint16_t* values, std::size_t count, std::size_t n) {
    std::size_t i = 0;
    for (; i + 128 <= n; i += 128) minima<8>(sums, columns, values, count, i);
    for (; i < n; i += 16) minima<1>(sums, columns, values, count, i);
  }

  /// add_products for `Width` times 8 of the sums, which stay in registers.
  template <std::size_t Width>
  static void products(float* sums, const std::uint16_t* const* columns, const float* factors,
                       std::size_t count, std::size_t first) {
    __m256 total[Width];
    for (std::size_t w = 0; w < Width; ++w) total[w] = _mm256_loadu_ps(sums + first + 8 * w);
    for (std::size_t c = 0; c < count; ++c) {
      const __m256 f = _mm256_set1_ps(factors[c]);
      for (std::size_t w = 0; w < Width; ++w) {
        const auto* column = reinterpret_cast<const __m128i*>(columns[c] + first + 8 * w);
        const __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128(column)));
        total[w] = _mm256_add_ps(total[w], _mm256_mul_ps(f, x));
      }
    }
    for (std::size_t w = 0; w < Width; ++w) _mm256_storeu_ps(sums + first + 8 * w, total[w]);
  }

  static void add_products(float* sums, const std::uint16_t* const* columns, const float* factors,
                           std::size_t count, std::size_t n) {
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) products<8>(sums, columns, factors, count, i);
    for (; i < n; i += 16) products<2>(sums, columns, factors, count, i);
  }

  static void add_parabolas(float* sums, const Parabola* parabolas, std::size_t count, std::size_t n) {
    for (std::size_t c = 0; c < count; ++c) {
      const __m256 most = _mm256_set1_ps(parabolas[c].most);
      const __m256 square = _mm256_set1_ps(parabolas[c].square);
      const __m256 factor = _mm256_set1_ps(parabolas[c].factor);
      for (std::size_t i = 0; i < n; i += 8) {
        const auto* column = reinterpret_cast<const __m128i*>(parabolas[c].column + i);
        const __m256 value = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128(column)));
        const __m256 x = _mm256_min_ps(value, most);
        const __m256 slope = _mm256_add_ps(_mm256_mul_ps(square, x), factor);
        _mm256_storeu_ps(sums + i, _mm256_add_ps(_mm256_loadu_ps(sums + i), _mm256_mul_ps(x, slope)));
      }
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
