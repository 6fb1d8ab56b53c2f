// SPDX-License-Identifier: MIT
#include "kernels.hpp"

#if defined(__AVX2__)

#include <immintrin.h>

#include <cstddef>

#include "kernels_avx2_screen.hpp"
#include "kernels_impl.hpp"

namespace semcbir {
namespace {

struct Avx2 {
  struct Block {
    __m256d lane[4];
  };

  static Block zero() {
    const __m256d z = _mm256_setzero_pd();
    return {{z, z, z, z}};
  }

  static Block load(const float* p) {
    return {{_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4)),
             _mm256_cvtps_pd(_mm_loadu_ps(p + 8)), _mm256_cvtps_pd(_mm_loadu_ps(p + 12))}};
  }

  static Block load_first(const float* p, std::size_t n) {
    float padded[kLanes] = {};
    for (std::size_t i = 0; i < n; ++i) padded[i] = p[i];
    return load(padded);
  }

  static Block subtract(const Block& a, const Block& b) {
    return {{_mm256_sub_pd(a.lane[0], b.lane[0]), _mm256_sub_pd(a.lane[1], b.lane[1]),
             _mm256_sub_pd(a.lane[2], b.lane[2]), _mm256_sub_pd(a.lane[3], b.lane[3])}};
  }

  static __m256d add_square(__m256d lane, __m256d t) { return _mm256_add_pd(lane, _mm256_mul_pd(t, t)); }

  static Block add_square(const Block& lanes, const Block& t) {
    return {{add_square(lanes.lane[0], t.lane[0]), add_square(lanes.lane[1], t.lane[1]),
             add_square(lanes.lane[2], t.lane[2]), add_square(lanes.lane[3], t.lane[3])}};
  }

  static Block add_weighted(const Block& lanes, const Block& t, double w) {
    const __m256d weight = _mm256_set1_pd(w);
    Block block;
    for (int i = 0; i < 4; ++i) {
      const __m256d square = _mm256_mul_pd(t.lane[i], t.lane[i]);
      block.lane[i] = _mm256_add_pd(lanes.lane[i], _mm256_mul_pd(weight, square));
    }
    return block;
  }

  static Block scale(const Block& t, double s) {
    const __m256d factor = _mm256_set1_pd(s);
    Block block;
    for (int i = 0; i < 4; ++i) block.lane[i] = _mm256_mul_pd(t.lane[i], factor);
    return block;
  }

  static void store(const Block& block, double* out) {
    for (int i = 0; i < 4; ++i) _mm256_storeu_pd(out + 4 * i, block.lane[i]);
  }
};

const Kernels kernels{squared_distance<Avx2>,        weighted_squared_distance<Avx2>,
                      scaled_squared_distance<Avx2>, Avx2Screen::row_products,
                      Avx2Screen::add_row_terms,     Avx2Screen::add_minima,
                      Avx2Screen::add_products,      Avx2Screen::add_parabolas,
                      Avx2Screen::at_least,          Avx2Screen::clear_above};

}  // namespace

const Kernels* const kernels_avx2 = &kernels;

}  // namespace semcbir

#else

const semcbir::Kernels* const semcbir::kernels_avx2 = nullptr;

#endif
