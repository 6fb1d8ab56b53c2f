// SPDX-License-Identifier: MIT
// Keeps the best k of the images that a search comes across.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace semcbir {

/// An image that a search has looked at.
struct Candidate {
  bool penalized;  ///< histogram distance > epsilon
  double squared;  ///< squared distance; never NaN
  std::int64_t id;
  double histogram;  ///< histogram distance; never NaN
};

/// The order of results: kept ones by (squared distance, id), then penalised ones likewise. The histogram
/// distance only decides where an id occurs twice.
bool operator<(const Candidate& a, const Candidate& b);

/// The first k candidates in order. Keeps up to about 2 k of them and cuts them back to k when there are
/// more, which costs constant time per candidate for every k, full rankings included.
class TopK {
 public:
  explicit TopK(std::size_t k) : k_(k), limit_(2 * k + 64) {}

  void offer(const Candidate& candidate) {
    if (bounded_ && !(candidate < bound_)) return;
    found_.push_back(candidate);
    if (found_.size() >= limit_) cut();
  }

  /// Whether such a candidate may be among the first k, whatever its histogram distance.
  bool may_enter(bool penalized, double squared, std::int64_t id) const {
    return !bounded_ || !(bound_ < Candidate{penalized, squared, id, bound_.histogram});
  }

  /// Whether no penalised candidate can enter any more.
  bool full_of_kept() const { return bounded_ && !bound_.penalized; }

  /// The first k in order; leaves this empty.
  std::vector<Candidate> take();

 private:
  void cut();

  std::size_t k_;
  std::size_t limit_;
  bool bounded_ = false;
  Candidate bound_{};  // the k-th of those seen, once there was a cut
  std::vector<Candidate> found_;
};

}  // namespace semcbir
