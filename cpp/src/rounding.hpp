// SPDX-License-Identifier: MIT
// What screens may be used for, how far their numbers may be off, and how they are rounded so that they are
// off in one direction only.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Above it, or below its inverse, squares of lengths are not screened but computed.
constexpr double kLargestSquare = 1e30;
/// How far the sum of an image's proportions may be from 1 for eq. 1 to be judged by columns.
constexpr double kProportionsOff = 1e-5;
/// Proportions are multiples of this part of 1, rounded up.
constexpr std::uint32_t kProportionSteps = 32767;

/// What rounding in float can change in |q|^2 + |x|^2 - 2 q.x, computed class by class, as a part of |q|^2 or
/// |x|^2, whichever image has so many rows. Each shared class is added twice, to sums that are below
/// 4 (|q|^2 + |x|^2); its own terms are rounded at most sixteen times, and those of all classes are together
/// below 2 (|q|^2 + |x|^2); float has 24 bits. See docs/search.md.
inline double relative_slack(std::size_t rows) { return std::ldexp(static_cast<double>(rows) + 4.0, -19); }

/// What rounding in float can change in the product of a query's row with a row that is stored as what it is
/// off a center, as a part of the product of the query's norm and the center's, which may be the longer one
/// by far. There are at most eight roundings, of twice that.
constexpr double kCenterRounding = 0x1p-19;

/// A float that is at most x, and next to it.
inline float rounded_down(double x) {
  const auto y = static_cast<float>(x);
  if (!(static_cast<double>(y) > x)) return y;
  if (std::isinf(y)) return std::numeric_limits<float>::max();
  // Once or twice the distance to the next float, or the smallest there is; std::nextafter takes long.
  return y - std::max(std::fabs(y) * std::numeric_limits<float>::epsilon(),
                      std::numeric_limits<float>::denorm_min());
}

/// A float that is at least x, and next to it.
inline float rounded_up(double x) { return -rounded_down(-x); }

/// The upper 16 bits of the smallest float that is at least x and whose lower bits are 0 (bfloat16).
inline std::uint32_t upper_rounded_up(double x) {
  const float y = rounded_up(x);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &y, sizeof(bits));
  return (bits >> 16U) + ((bits & 0xffffU) != 0 ? 1U : 0U);
}

/// A share in steps of a screen, rounded up; 0 for what is no share.
inline std::uint16_t proportion_steps_up(float p) {
  if (!(p > 0.0F && p <= 1.0F)) return 0;
  return static_cast<std::uint16_t>(
      std::ceil(static_cast<double>(p) * static_cast<double>(kProportionSteps)));
}

/// |row|^2, in double.
inline double squared_norm(const float* row, std::size_t dim) {
  double sum = 0;
  for (std::size_t d = 0; d < dim; ++d) sum += static_cast<double>(row[d]) * static_cast<double>(row[d]);
  return sum;
}

/// The largest entry of a row by size; NaN is passed over.
inline float largest_entry(const float* row, std::size_t dim) {
  float largest = 0;
  for (std::size_t d = 0; d < dim; ++d) largest = std::max(largest, std::fabs(row[d]));
  return largest;
}

/// Whether eq. 1 can be judged by columns: proportions that are shares of 1.
inline bool sums_to_one(const ImageRows& image) {
  double sum = 0;
  for (std::size_t i = 0; i < image.count; ++i) {
    const auto p = static_cast<double>(image.proportions[i]);
    if (!(p >= 0 && p <= 1)) return false;
    sum += p;
  }
  return std::fabs(sum - 1) <= kProportionsOff;
}

/// The bit of an image in its block's masks of 16.
inline std::uint16_t bit(std::size_t place) { return static_cast<std::uint16_t>(1U << (place % 16)); }

}  // namespace semcbir
