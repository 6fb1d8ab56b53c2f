// SPDX-License-Identifier: MIT
#include "clusters.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "semcbir/parallel.hpp"

namespace semcbir {
namespace {

constexpr std::size_t kSmallRun = 16;
// The spread of a part is judged by about so many of its images.
constexpr std::size_t kJudged = 512;

/// A well mixed hash of a number.
std::uint32_t mixed(std::uint32_t x) {
  x ^= x >> 16U;
  x *= 0x7feb352dU;
  x ^= x >> 15U;
  x *= 0x846ca68bU;
  x ^= x >> 16U;
  return x;
}

/// Part of the order, [begin, end).
struct Part {
  std::size_t begin;
  std::size_t end;
};

class Splitter {
 public:
  Splitter(const std::vector<float>& sketches, std::size_t block, std::vector<std::uint32_t>& order)
      : sketches_(sketches), block_(block), order_(order) {}

  /// Splits a part in two at a border between runs, by the entry in which its images differ most. Returns the
  /// border, or the end if the part is one small run.
  std::size_t split(Part part) {
    const std::size_t size = part.end - part.begin;
    if (size <= kSmallRun) return part.end;
    const std::size_t run = size > block_ ? block_ : kSmallRun;
    const std::size_t runs = (size + run - 1) / run;
    const std::size_t middle = part.begin + runs / 2 * run;
    const std::size_t entry = widest(part);
    const auto at = [&](std::size_t i) { return order_.begin() + static_cast<std::ptrdiff_t>(i); };
    std::nth_element(at(part.begin), at(middle), at(part.end), [&](std::uint32_t a, std::uint32_t b) {
      const float x = sketches_[a * kSketch + entry];
      const float y = sketches_[b * kSketch + entry];
      return x < y || (x == y && a < b);
    });
    return middle;
  }

  /// Splits a part until only small runs are left.
  void split_all(Part part) {
    while (true) {
      const std::size_t middle = split(part);
      if (middle == part.end) return;
      split_all({middle, part.end});
      part.end = middle;
    }
  }

 private:
  /// The entry of the sketches with the largest variance over some images of a part.
  std::size_t widest(Part part) const {
    double sum[kSketch] = {};
    double squares[kSketch] = {};
    const std::size_t step = std::max<std::size_t>(1, (part.end - part.begin) / kJudged);
    double count = 0;
    for (std::size_t i = part.begin; i < part.end; i += step, ++count) {
      const float* one = &sketches_[order_[i] * kSketch];
      for (std::size_t s = 0; s < kSketch; ++s) {
        const auto x = static_cast<double>(one[s]);
        sum[s] += x;
        squares[s] += x * x;
      }
    }
    std::size_t best = 0;
    double most = -1;
    for (std::size_t s = 0; s < kSketch; ++s) {
      const double variance = squares[s] - sum[s] * sum[s] / count;
      if (variance > most) {
        most = variance;
        best = s;
      }
    }
    return best;
  }

  const std::vector<float>& sketches_;
  const std::size_t block_;
  std::vector<std::uint32_t>& order_;
};

}  // namespace

void sketch(const ImageRows& image, std::size_t dim, float out[kSketch]) {
  std::fill(out, out + kSketch, 0.0F);
  for (std::size_t i = 0; i < image.count; ++i) {
    const std::uint32_t seed = (std::uint32_t{image.classes[i]} + 1U) * 0x9e3779b1U;
    const float* entries = image.centroids + i * dim;
    for (std::size_t d = 0; d < dim; d += kSketch) {
      const std::uint32_t signs = mixed(seed + static_cast<std::uint32_t>(d / kSketch));
      const std::size_t n = std::min(kSketch, dim - d);
      for (std::size_t s = 0; s < n; ++s) {
        out[s] += (signs >> s & 1U) != 0U ? -entries[d + s] : entries[d + s];
      }
    }
    out[mixed(seed) % kSketch] += image.proportions[i];
  }
  // What is damaged goes anywhere: sorting needs numbers that compare.
  for (std::size_t s = 0; s < kSketch; ++s) {
    if (!(std::fabs(out[s]) < 1e30F)) out[s] = 0.0F;
  }
}

std::vector<std::uint32_t> clustered_order(const std::vector<float>& sketches, std::size_t block, int threads,
                                           Interruption& interruption) {
  std::vector<std::uint32_t> order(sketches.size() / kSketch);
  std::iota(order.begin(), order.end(), std::uint32_t{0});
  Splitter splitter(sketches, block, order);
  std::vector<Part> parts{{0, order.size()}};
  // Level by level, so that threads share the work; each part then goes on alone.
  while (parts.size() < 4 * static_cast<std::size_t>(threads) && parts.size() * block < order.size()) {
    std::vector<Part> halves(2 * parts.size());
    parallel_for(
        parts.size(), threads,
        [&](std::size_t i) {
          const std::size_t middle = splitter.split(parts[i]);
          halves[2 * i] = {parts[i].begin, middle};
          halves[2 * i + 1] = {middle, parts[i].end};
        },
        &interruption);
    parts = halves;
  }
  parallel_for(parts.size(), threads, [&](std::size_t i) { splitter.split_all(parts[i]); }, &interruption);
  return order;
}

}  // namespace semcbir
