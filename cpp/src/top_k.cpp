// SPDX-License-Identifier: MIT
#include "top_k.hpp"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

namespace semcbir {
namespace {

auto key(const Candidate& c) { return std::tie(c.penalized, c.squared, c.id, c.histogram); }

}  // namespace

bool operator<(const Candidate& a, const Candidate& b) { return key(a) < key(b); }

void TopK::cut() {
  const auto last = found_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
  std::nth_element(found_.begin(), last, found_.end());
  bound_ = *last;
  bounded_ = true;
  found_.erase(last + 1, found_.end());
}

std::vector<Candidate> TopK::take() {
  if (found_.size() > k_) cut();
  bounded_ = false;
  std::sort(found_.begin(), found_.end());
  return std::exchange(found_, {});
}

}  // namespace semcbir
