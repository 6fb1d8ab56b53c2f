// SPDX-License-Identifier: MIT
#include <cstddef>

#include "kernels.hpp"
#include "kernels_impl.hpp"
#include "screen_kernels_impl.hpp"

namespace semcbir {
namespace {

/// Plain C++, for every processor.
struct Baseline {
  struct Block {
    double lane[kLanes];
  };

  static Block zero() { return Block{}; }

  static Block load(const float* p) {
    Block block;
    for (std::size_t i = 0; i < kLanes; ++i) block.lane[i] = static_cast<double>(p[i]);
    return block;
  }

  static Block load_first(const float* p, std::size_t n) {
    Block block{};
    for (std::size_t i = 0; i < n; ++i) block.lane[i] = static_cast<double>(p[i]);
    return block;
  }

  static Block subtract(const Block& a, const Block& b) {
    Block block;
    for (std::size_t i = 0; i < kLanes; ++i) block.lane[i] = a.lane[i] - b.lane[i];
    return block;
  }

  static Block add_square(const Block& lanes, const Block& t) {
    Block block;
    for (std::size_t i = 0; i < kLanes; ++i) block.lane[i] = lanes.lane[i] + t.lane[i] * t.lane[i];
    return block;
  }

  static Block add_weighted(const Block& lanes, const Block& t, double w) {
    Block block;
    for (std::size_t i = 0; i < kLanes; ++i) {
      const double square = t.lane[i] * t.lane[i];
      block.lane[i] = lanes.lane[i] + w * square;
    }
    return block;
  }

  static Block scale(const Block& t, double s) {
    Block block;
    for (std::size_t i = 0; i < kLanes; ++i) block.lane[i] = t.lane[i] * s;
    return block;
  }

  static void store(const Block& block, double* out) {
    for (std::size_t i = 0; i < kLanes; ++i) out[i] = block.lane[i];
  }
};

const Kernels kernels{squared_distance<Baseline>,
                      weighted_squared_distance<Baseline>,
                      scaled_squared_distance<Baseline>,
                      plain_row_products,
                      plain_add_row_terms,
                      plain_add_minima,
                      plain_add_products,
                      plain_add_parabolas,
                      plain_at_least,
                      plain_clear_above};

}  // namespace

const Kernels* const kernels_baseline = &kernels;

}  // namespace semcbir
