// SPDX-License-Identifier: MIT
// How far a screen's numbers may be off, and how they are rounded so that they are off in one direction only.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace semcbir {

/// Above it, or below its inverse, squares of lengths are not screened but computed.
constexpr double kLargestSquare = 1e30;
/// How far the sum of an image's proportions may be from 1 for eq. 1 to be judged by columns.
constexpr double kProportionsOff = 1e-5;

/// What rounding in float can change in |q|^2 + |x|^2 - 2 q.x, computed class by class, as a part of |q|^2 or
/// |x|^2, whichever image has so many rows. Each shared class is rounded at most eight times, to terms that
/// are below 4 (|q|^2 + |x|^2); float has 24 bits. See docs/search.md.
inline double relative_slack(std::size_t rows) { return std::ldexp(static_cast<double>(rows) + 4.0, -19); }

/// The largest float that is at most x.
inline float rounded_down(double x) {
  const auto y = static_cast<float>(x);
  return static_cast<double>(y) <= x ? y : std::nextafter(y, -std::numeric_limits<float>::infinity());
}

/// The smallest float that is at least x.
inline float rounded_up(double x) { return -rounded_down(-x); }

/// A share in steps of a screen, rounded up; 0 for what is no share.
inline std::uint16_t proportion_steps_up(float p) {
  if (!(p > 0.0F && p <= 1.0F)) return 0;
  return static_cast<std::uint16_t>(std::ceil(static_cast<double>(p) * 32767.0));
}

/// The bit of an image in its block's masks of 16.
inline std::uint16_t bit(std::size_t place) { return static_cast<std::uint16_t>(1U << (place % 16)); }

}  // namespace semcbir
