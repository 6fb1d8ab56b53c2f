// SPDX-License-Identifier: MIT
#include "semcbir/class_terms.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "exact.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {
namespace {

/// Throws unless labels ascend strictly.
template <class Labelled, class Label>
void check_order(const std::vector<Labelled>& some, const char* name, const Label& label) {
  for (std::size_t i = 1; i < some.size(); ++i) {
    if (label(some[i - 1]) >= label(some[i])) {
      throw std::invalid_argument(std::string(name) + ": expected labels that ascend, got " +
                                  std::to_string(label(some[i])) + " after " +
                                  std::to_string(label(some[i - 1])));
    }
  }
}

/// Calls f(proportion) for the classes of `labels` that the image has; both ascend.
template <class F>
void for_each_share(const std::vector<std::uint16_t>& labels, const ImageRows& image, const F& f) {
  std::size_t i = 0;
  for (std::size_t row = 0; row < image.count && i < labels.size();) {
    if (image.classes[row] == labels[i]) {
      f(static_cast<double>(image.proportions[row]));
      ++row;
      ++i;
    } else if (image.classes[row] < labels[i]) {
      ++row;
    } else {
      ++i;
    }
  }
}

}  // namespace

void check_terms(const ClassTerms& terms) {
  const auto same = [](std::uint16_t label) { return label; };
  check_order(terms.weights, "weights", [](const ClassWeight& one) { return one.label; });
  check_order(terms.needed, "needed", same);
  check_order(terms.barred, "barred", same);
  for (const ClassWeight& one : terms.weights) {
    if (!(one.weight >= 0.0 && std::isfinite(one.weight))) {
      throw std::invalid_argument("weights: expected finite numbers of at least 0, got " +
                                  std::to_string(one.weight));
    }
  }
  if (terms.others != 0.0 && terms.others != 1.0) {
    throw std::invalid_argument("others: expected 0 or 1, got " + std::to_string(terms.others));
  }
  if (terms.unit_rows && terms.others != 0.0) {
    throw std::invalid_argument("unit_rows: expected others to be 0, got 1");
  }
  for (const double share : {terms.min_share, terms.max_share}) {
    if (!(share >= 0.0 && share <= 1.0)) {
      throw std::invalid_argument("shares: expected 0 to 1, got " + std::to_string(share));
    }
  }
}

bool holds_needed(const ClassTerms& terms, const ImageRows& image) {
  if (terms.needed.empty()) return true;
  double sum = 0.0;
  for_each_share(terms.needed, image, [&](double share) { sum += share; });
  return sum >= terms.min_share;
}

bool holds_barred(const ClassTerms& terms, const ImageRows& image) {
  bool found = false;
  for_each_share(terms.barred, image, [&](double share) { found = found || share > terms.max_share; });
  return found;
}

}  // namespace semcbir
