// SPDX-License-Identifier: MIT
#include "kernels.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels_avx2_screen.hpp"
#include "kernels_avx512_distance.hpp"
#include "kernels_impl.hpp"

namespace semcbir {
namespace {

__m256i halves_added(__m512i x) {
  return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
}

__m512i widened(const std::int8_t* entries) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(entries)));
}

void row_products(const std::int8_t* rows, std::size_t width, const std::uint8_t* numbers, std::size_t n,
                  const std::int16_t* query, std::int32_t* products) {
  if (width % 32 != 0) return Avx2Screen::row_products(rows, width, numbers, n, query, products);
  for (std::size_t i = 0; i < n; i += 4) {
    const std::int8_t* row[4];
    for (std::size_t r = 0; r < 4; ++r) row[r] = rows + numbers[i + r < n ? i + r : i] * width;
    __m512i sum[4] = {};
    for (std::size_t d = 0; d < width; d += 32) {
      const __m512i q = _mm512_loadu_si512(query + d);
      for (std::size_t r = 0; r < 4; ++r) sum[r] = _mm512_dpwssd_epi32(sum[r], widened(row[r] + d), q);
    }
    const __m128i four = Avx2Screen::sums(halves_added(sum[0]), halves_added(sum[1]), halves_added(sum[2]),
                                          halves_added(sum[3]));
    const auto there = static_cast<__mmask8>(n - i < 4 ? (1U << (n - i)) - 1U : 0xfU);
    _mm_mask_storeu_epi32(products + i, there, four);
  }
}

void add_row_terms(const ScreenRows& rows, const ScreenRow& query, float most, std::uint16_t* alive,
                   float* least, float* errors) {
  // Branches would be guessed wrong as often as not: an image takes part or does not.
  const __m256i wanted = _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(alive)),
                                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows.present)));
  const unsigned masks = _mm256_test_epi16_mask(wanted, wanted);
  const __m512i counting = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  std::uint8_t numbers[kBlockImages + kMaskBits];
  std::size_t count = 0;
  for (unsigned left = masks; left != 0; left &= left - 1) {
    const std::size_t m = lowest_bit(left);
    const __mmask16 present = rows.present[m];
    const auto both = static_cast<__mmask16>(alive[m] & present);
    const __m512i row =
        _mm512_add_epi32(_mm512_maskz_expand_epi32(present, counting), _mm512_set1_epi32(rows.before[m]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(numbers + count),
                     _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(both, row)));
    count += count_bits(both);
  }
  std::int32_t products[kBlockImages + kMaskBits];
  row_products(rows.entries, rows.width, numbers, count, query.entries, products);
  const std::int32_t* next = products;
  for (unsigned left = masks; left != 0; left &= left - 1) {
    const std::size_t m = lowest_bit(left);
    const __mmask16 present = rows.present[m];
    const auto both = static_cast<__mmask16>(alive[m] & present);
    const __m512i dots = _mm512_maskz_expand_epi32(both, _mm512_loadu_si512(next));
    next += count_bits(both);
    const __m512i steps = _mm512_maskz_expand_epi32(present, _mm512_loadu_si512(rows.steps + rows.before[m]));
    const __m512 scales = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_srli_epi32(steps, 16), 16));
    const __m512 row_errors = _mm512_castsi512_ps(_mm512_slli_epi32(steps, 16));
    const auto* column = reinterpret_cast<const __m256i*>(rows.norms + m * kMaskBits);
    const __m512 norms = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256(column)));
    const __m512 off = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(query.error), row_errors),
                                     _mm512_mul_ps(_mm512_set1_ps(query.off), norms));
    const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(dots), _mm512_set1_ps(query.product));
    const __m512 rest =
        _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(query.norm), norms), _mm512_set1_ps(query.center));
    const __m512 term = _mm512_add_ps(_mm512_mul_ps(product, scales), rest);
    float* out = least + m * kMaskBits;
    const __m512 before = _mm512_loadu_ps(out);
    const __m512 after = _mm512_mask_add_ps(before, both, before, _mm512_sub_ps(term, off));
    _mm512_storeu_ps(out, after);
    float* sums = errors + m * kMaskBits;
    const __m512 sum = _mm512_loadu_ps(sums);
    _mm512_storeu_ps(sums, _mm512_mask_add_ps(sum, both, sum, off));
    const __mmask16 above = _mm512_mask_cmp_ps_mask(both, after, _mm512_set1_ps(most), _CMP_GT_OQ);
    alive[m] = static_cast<std::uint16_t>(alive[m] & ~above);
  }
}

/// add_minima for 256 of the sums, which stay in registers.
void add_256_minima(std::uint16_t* sums, const std::uint16_t* const* columns, const std::uint16_t* values,
                    std::size_t count, std::size_t first) {
  constexpr std::size_t kWidth = 8;
  __m512i total[kWidth];
  for (std::size_t w = 0; w < kWidth; ++w) total[w] = _mm512_loadu_si512(sums + first + 32 * w);
  for (std::size_t c = 0; c < count; ++c) {
    const __m512i v = _mm512_set1_epi16(static_cast<short>(values[c]));
    for (std::size_t w = 0; w < kWidth; ++w) {
      const __m512i column = _mm512_loadu_si512(columns[c] + first + 32 * w);
      total[w] = _mm512_add_epi16(total[w], _mm512_min_epu16(column, v));
    }
  }
  for (std::size_t w = 0; w < kWidth; ++w) _mm512_storeu_si512(sums + first + 32 * w, total[w]);
}

void add_minima(std::uint16_t* sums, const std::uint16_t* const* columns, const std::uint16_t* values,
                std::size_t count, std::size_t n) {
  std::size_t i = 0;
  for (; i + 256 <= n; i += 256) add_256_minima(sums, columns, values, count, i);
  for (; i < n; i += 16) Avx2Screen::minima<1>(sums, columns, values, count, i);
}

/// add_products for `Width` times 16 of the sums, which stay in registers.
template <std::size_t Width>
void products(float* sums, const std::uint16_t* const* columns, const float* factors, std::size_t count,
              std::size_t first) {
  __m512 total[Width];
  for (std::size_t w = 0; w < Width; ++w) total[w] = _mm512_loadu_ps(sums + first + 16 * w);
  for (std::size_t c = 0; c < count; ++c) {
    const __m512 f = _mm512_set1_ps(factors[c]);
    for (std::size_t w = 0; w < Width; ++w) {
      const auto* column = reinterpret_cast<const __m256i*>(columns[c] + first + 16 * w);
      const __m512 x = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256(column)));
      total[w] = _mm512_add_ps(total[w], _mm512_mul_ps(f, x));
    }
  }
  for (std::size_t w = 0; w < Width; ++w) _mm512_storeu_ps(sums + first + 16 * w, total[w]);
}

void add_products(float* sums, const std::uint16_t* const* columns, const float* factors, std::size_t count,
                  std::size_t n) {
  std::size_t i = 0;
  for (; i + 256 <= n; i += 256) products<16>(sums, columns, factors, count, i);
  for (; i < n; i += 16) products<1>(sums, columns, factors, count, i);
}

void at_least(const std::uint16_t* values, std::uint16_t least, std::size_t n, std::uint16_t* masks) {
  const __m256i v = _mm256_set1_epi16(static_cast<short>(least));
  for (std::size_t i = 0; i < n; i += 16) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i));
    masks[i / 16] = _mm256_cmpge_epu16_mask(x, v);
  }
}

void clear_above(const float* values, float most, std::size_t n, std::uint16_t* masks) {
  const __m512 v = _mm512_set1_ps(most);
  for (std::size_t i = 0; i < n; i += 16) {
    const __mmask16 keep = _mm512_cmp_ps_mask(_mm512_loadu_ps(values + i), v, _CMP_NGT_UQ);
    masks[i / 16] = static_cast<std::uint16_t>(masks[i / 16] & keep);
  }
}

const Kernels kernels{squared_distance<Avx512>,
                      weighted_squared_distance<Avx512>,
                      scaled_squared_distance<Avx512>,
                      row_products,
                      add_row_terms,
                      add_minima,
                      add_products,
                      Avx2Screen::add_parabolas,
                      at_least,
                      clear_above};

}  // namespace

const Kernels* const kernels_avx512vnni = &kernels;

}  // namespace semcbir

#else

const semcbir::Kernels* const semcbir::kernels_avx512vnni = nullptr;

#endif
