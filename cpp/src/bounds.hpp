// SPDX-License-Identifier: MIT
// Bounds by norms: what they begin with, and what the norms of a class add to them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels.hpp"
#include "screen_query.hpp"

namespace semcbir {

/// What bounds of distances begin with: |x|^2, or 0 where it does not count; -infinity stays.
inline float base(const ScreenQuery& query, float length) {
  return query.whole ? length : std::min(length, 0.0F);
}

/// What a class's norms, in steps of a screen, add to bounds from below. They are up to a step too large.
inline Parabola parabola_of(const ScreenQuery& query, const ScreenClass& asked, float step) {
  // A row that is there may be where the query's is; beside a class that the query lacks it is at 1.
  if (query.unit_rows) return {nullptr, 1.0F, 0.0F, asked.norm > 0 ? -asked.square : asked.square};
  Parabola parabola{nullptr, 65536.0F, asked.square * step * step, -2.0F * asked.norm * step};
  if (parabola.square > 0) parabola.factor -= 2.0F * parabola.square;
  return parabola;
}

inline float value_of(const Parabola& parabola, std::uint16_t norm) {
  const float x = std::min(static_cast<float>(norm), parabola.most);
  return x * (parabola.square * x + parabola.factor);
}

}  // namespace semcbir
