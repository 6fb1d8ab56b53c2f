// SPDX-License-Identifier: MIT
// The distance kernel for AVX-512; included by the files of levels that have it, for the reasons that
// kernels_impl.hpp gives.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels_impl.hpp"

namespace semcbir {
namespace {

struct Avx512 {
  struct Block {
    __m512d low;
    __m512d high;
  };

  static Block zero() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }

  static Block load(const float* p) {
    return {_mm512_cvtps_pd(_mm256_loadu_ps(p)), _mm512_cvtps_pd(_mm256_loadu_ps(p + 8))};
  }

  static Block load_first(const float* p, std::size_t n) {
    const auto mask = static_cast<__mmask16>((1U << n) - 1U);
    const __m512 v = _mm512_maskz_loadu_ps(mask, p);
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
    return {_mm512_cvtps_pd(_mm512_castps512_ps256(v)), _mm512_cvtps_pd(high)};
  }

  static Block subtract(const Block& a, const Block& b) {
    return {_mm512_sub_pd(a.low, b.low), _mm512_sub_pd(a.high, b.high)};
  }

  static Block add_square(const Block& lanes, const Block& t) {
    return {_mm512_add_pd(lanes.low, _mm512_mul_pd(t.low, t.low)),
            _mm512_add_pd(lanes.high, _mm512_mul_pd(t.high, t.high))};
  }

  static Block add_weighted(const Block& lanes, const Block& t, double w) {
    const __m512d weight = _mm512_set1_pd(w);
    return {_mm512_add_pd(lanes.low, _mm512_mul_pd(weight, _mm512_mul_pd(t.low, t.low))),
            _mm512_add_pd(lanes.high, _mm512_mul_pd(weight, _mm512_mul_pd(t.high, t.high)))};
  }

  static Block scale(const Block& t, double s) {
    const __m512d factor = _mm512_set1_pd(s);
    return {_mm512_mul_pd(t.low, factor), _mm512_mul_pd(t.high, factor)};
  }

  static void store(const Block& block, double* out) {
    _mm512_storeu_pd(out, block.low);
    _mm512_storeu_pd(out + 8, block.high);
  }
};

}  // namespace
}  // namespace semcbir
