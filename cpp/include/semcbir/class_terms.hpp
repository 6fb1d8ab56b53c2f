// SPDX-License-Identifier: MIT
// What a search asks of single classes: how much they count, and how much of an image they must, or may, be.
#pragma once

#include <cstdint>
#include <vector>

#include "semcbir/signature_view.hpp"

namespace semcbir {

/// How many times the squared differences of a class count.
struct ClassWeight {
  std::uint16_t label;
  double weight;  ///< finite, at least 0; 0: the class does not count
};

/// Labels ascend strictly. Shares are compared in double; those of several classes are summed in ascending
/// order.
struct ClassTerms {
  std::vector<ClassWeight> weights;
  double others = 1.0;                ///< the weight of every class that is not among them: 0 or 1
  std::vector<std::uint16_t> needed;  ///< images of which these are less than min_share are penalised
  double min_share = 0.0;
  std::vector<std::uint16_t> barred;  ///< images of which one of these is more than max_share are left out
  double max_share = 1.0;
  bool unit_rows = false;  ///< rows count at length 1, null rows as they are; only where others is 0
};

/// Throws std::invalid_argument unless terms are as said above.
void check_terms(const ClassTerms& terms);

/// Whether the needed classes are min_share of the image or more; true if none is needed.
bool holds_needed(const ClassTerms& terms, const ImageRows& image);

/// Whether a barred class is more than max_share of the image.
bool holds_barred(const ClassTerms& terms, const ImageRows& image);

}  // namespace semcbir
