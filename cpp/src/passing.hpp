// SPDX-License-Identifier: MIT
// Which images of a block a query wants: by the filter, and by what the terms need and bar.
#pragma once

#include <cstdint>
#include <vector>

#include "alive.hpp"
#include "kernels.hpp"
#include "screened_search.hpp"
#include "visit.hpp"

namespace semcbir {

/// Judges the images of one block after another by the shares of their classes, and by definition where the
/// steps of these do not say.
class Passing {
 public:
  explicit Passing(const Kernels& kernels) : kernels_(kernels) {}

  /// Which images pass, of those in `alive`, from which it removes those that are barred.
  Alive judge(const ScreenedSegment& segment, const Visit& visit, const ScreenQuery& query, Alive& alive);

 private:
  void bar(const ScreenedSegment& segment, const Visit& visit, const ScreenQuery& query, Alive& alive);
  void filter(const Visit& visit, const ScreenQuery& query, Alive& may, Alive& does);
  void need(const Visit& visit, const ScreenQuery& query, Alive& may, Alive& does);

  const Kernels& kernels_;
  // Reused, so that blocks cost no allocations.
  std::vector<const std::uint16_t*> columns_;
  std::vector<std::uint16_t> values_;
  std::vector<float> factors_;
};

/// The sums that bounds of needed shares are compared with: below the first, surely less than is needed; from
/// the second on, surely enough.
float possibly_enough(const ScreenQuery& query);
float certainly_enough(const ScreenQuery& query, std::size_t shared);

}  // namespace semcbir
