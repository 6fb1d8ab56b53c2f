// SPDX-License-Identifier: MIT
#include "kernels.hpp"

#if defined(__aarch64__) || defined(_M_ARM64)

#include <arm_neon.h>

#include <cstddef>

#include "kernels_impl.hpp"
#include "screen_kernels_impl.hpp"

namespace semcbir {
namespace {

struct Neon {
  struct Block {
    float64x2_t lane[8];
  };

  static Block zero() {
    Block block;
    for (int i = 0; i < 8; ++i) block.lane[i] = vdupq_n_f64(0.0);
    return block;
  }

  static Block load(const float* p) {
    Block block;
    for (int i = 0; i < 4; ++i) {
      const float32x4_t v = vld1q_f32(p + 4 * i);
      block.lane[2 * i] = vcvt_f64_f32(vget_low_f32(v));
      block.lane[2 * i + 1] = vcvt_high_f64_f32(v);
    }
    return block;
  }

  static Block load_first(const float* p, std::size_t n) {
    float padded[kLanes] = {};
    for (std::size_t i = 0; i < n; ++i) padded[i] = p[i];
    return load(padded);
  }

  static Block subtract(const Block& a, const Block& b) {
    Block block;
    for (int i = 0; i < 8; ++i) block.lane[i] = vsubq_f64(a.lane[i], b.lane[i]);
    return block;
  }

  static Block add_square(const Block& lanes, const Block& t) {
    Block block;
    for (int i = 0; i < 8; ++i) block.lane[i] = vaddq_f64(lanes.lane[i], vmulq_f64(t.lane[i], t.lane[i]));
    return block;
  }

  static Block add_weighted(const Block& lanes, const Block& t, double w) {
    const float64x2_t weight = vdupq_n_f64(w);
    Block block;
    for (int i = 0; i < 8; ++i) {
      block.lane[i] = vaddq_f64(lanes.lane[i], vmulq_f64(weight, vmulq_f64(t.lane[i], t.lane[i])));
    }
    return block;
  }

  static Block scale(const Block& t, double s) {
    const float64x2_t factor = vdupq_n_f64(s);
    Block block;
    for (int i = 0; i < 8; ++i) block.lane[i] = vmulq_f64(t.lane[i], factor);
    return block;
  }

  static void store(const Block& block, double* out) {
    for (int i = 0; i < 8; ++i) vst1q_f64(out + 2 * i, block.lane[i]);
  }
};

const Kernels kernels{squared_distance<Neon>,
                      weighted_squared_distance<Neon>,
                      scaled_squared_distance<Neon>,
                      plain_row_products,
                      plain_add_row_terms,
                      plain_add_minima,
                      plain_add_products,
                      plain_add_parabolas,
                      plain_at_least,
                      plain_clear_above};

}  // namespace

const Kernels* const kernels_neon = &kernels;

}  // namespace semcbir

#else

const semcbir::Kernels* const semcbir::kernels_neon = nullptr;

#endif
