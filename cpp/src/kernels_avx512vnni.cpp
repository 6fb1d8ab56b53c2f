// SPDX-License-Identifier: MIT
#include "kernels.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels_avx2_screen.hpp"
#include "kernels_avx512_distance.hpp"
#include "kernels_impl.hpp"

namespace semcbir {
namespace {

__m512i add_group(__m512i sums, const std::uint8_t* entries, const std::int8_t* query) {
  std::int32_t four;
  std::memcpy(&four, query, sizeof(four));
  return _mm512_dpbusd_epi32(sums, _mm512_loadu_si512(entries), _mm512_set1_epi32(four));
}

void tile_terms(const ScreenTile& tile, const ScreenRow& query, std::size_t groups, float terms[16]) {
  __m512i even = _mm512_setzero_si512();
  __m512i odd = _mm512_setzero_si512();
  std::size_t g = 0;
  for (; g + 1 < groups; g += 2) {
    even = add_group(even, tile.entries + g * tile.stride, query.entries + g * kGroup);
    odd = add_group(odd, tile.entries + (g + 1) * tile.stride, query.entries + (g + 1) * kGroup);
  }
  if (g < groups) even = add_group(even, tile.entries + g * tile.stride, query.entries + g * kGroup);
  const __m512i dots = _mm512_sub_epi32(_mm512_add_epi32(even, odd), _mm512_set1_epi32(query.sum));
  const __m512 term = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(dots), _mm512_set1_ps(query.product)),
                                    _mm512_set1_ps(query.off));
  const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tile.norms));
  const __m512 norms =
      _mm512_mul_ps(_mm512_set1_ps(query.norm), _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(narrow)));
  _mm512_storeu_ps(terms, _mm512_add_ps(_mm512_mul_ps(term, _mm512_loadu_ps(tile.scales)), norms));
}

void add_products(float* sums, const std::uint16_t* column, float factor, std::size_t n) {
  const __m512 f = _mm512_set1_ps(factor);
  for (std::size_t i = 0; i < n; i += 16) {
    const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(column + i));
    const __m512 x = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(narrow));
    _mm512_storeu_ps(sums + i, _mm512_add_ps(_mm512_loadu_ps(sums + i), _mm512_mul_ps(f, x)));
  }
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

const Kernels kernels{
    squared_distance<Avx512>, tile_terms, Avx2Screen::add_minima, add_products, at_least, clear_above};

}  // namespace

const Kernels* const kernels_avx512vnni = &kernels;

}  // namespace semcbir

#else

const semcbir::Kernels* const semcbir::kernels_avx512vnni = nullptr;

#endif
