// SPDX-License-Identifier: MIT
#include "clusters.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "semcbir/parallel.hpp"

namespace semcbir {
namespace {

constexpr std::size_t kSmallRun = 16;
// A part is judged by about so many of its images.
constexpr std::size_t kJudged = 512;
constexpr int kRounds = 6;
// Places that a proportion is added to.
constexpr std::uint32_t kHashes = 4;

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

using Vector = std::array<float, kSketch>;

class Splitter {
 public:
  Splitter(const std::vector<float>& sketches, std::size_t block, std::vector<std::uint32_t>& order)
      : sketches_(sketches), block_(block), order_(order) {}

  /// Splits a part that is larger than a block in two where its images leave a gap, along the line between
  /// the means of two clusters. Returns the border, or the end if the part is small enough.
  std::size_t split(Part part) {
    if (part.end - part.begin <= block_) return part.end;
    const std::vector<std::uint32_t> sample = sampled(part);
    const Vector line = between_clusters(sample);
    const float threshold = widest_gap(sample, line);
    const auto middle = std::partition(at(part.begin), at(part.end),
                                       [&](std::uint32_t i) { return along(line, i) < threshold; });
    const auto border = static_cast<std::size_t>(middle - order_.begin());
    const std::size_t fewest = (part.end - part.begin) / 8;
    if (border >= part.begin + fewest && border + fewest <= part.end) return border;
    return halve(part, part.begin + (part.end - part.begin) / 2, line);  // most are alike
  }

  /// Splits a part into blocks, whose ends are appended, and sorts each block into small runs.
  void split_all(Part part, std::vector<std::size_t>& ends) {
    const std::size_t border = split(part);
    if (border == part.end) {
      sort_runs(part);
      ends.push_back(part.end);
      return;
    }
    split_all({part.begin, border}, ends);
    split_all({border, part.end}, ends);
  }

 private:
  std::vector<std::uint32_t>::iterator at(std::size_t i) {
    return order_.begin() + static_cast<std::ptrdiff_t>(i);
  }

  float along(const Vector& line, std::uint32_t image) const {
    const float* one = &sketches_[image * kSketch];
    float sum = 0;
    for (std::size_t s = 0; s < kSketch; ++s) sum += line[s] * one[s];
    return sum;
  }

  std::vector<std::uint32_t> sampled(Part part) const {
    std::vector<std::uint32_t> sample;
    const std::size_t step = std::max<std::size_t>(1, (part.end - part.begin) / kJudged);
    for (std::size_t i = part.begin; i < part.end; i += step) sample.push_back(order_[i]);
    return sample;
  }

  /// The difference of the means of two clusters of a sample (2-means).
  Vector between_clusters(const std::vector<std::uint32_t>& sample) const {
    Vector line{};
    line[widest(sample)] = 1;
    float threshold = 0;
    for (const std::uint32_t i : sample) threshold += along(line, i) / static_cast<float>(sample.size());
    for (int round = 0; round < kRounds; ++round) {
      Vector mean[2] = {};
      float count[2] = {};
      for (const std::uint32_t i : sample) {
        const int side = along(line, i) < threshold ? 0 : 1;
        ++count[side];
        for (std::size_t s = 0; s < kSketch; ++s) mean[side][s] += sketches_[i * kSketch + s];
      }
      if (count[0] == 0 || count[1] == 0) break;
      threshold = 0;
      for (std::size_t s = 0; s < kSketch; ++s) {
        const float a = mean[0][s] / count[0];
        const float b = mean[1][s] / count[1];
        line[s] = b - a;
        threshold += (b - a) * (a + b) / 2;
      }
    }
    return line;
  }

  /// A threshold in the widest gap between a sample's projections, away from its ends.
  float widest_gap(const std::vector<std::uint32_t>& sample, const Vector& line) const {
    std::vector<float> values;
    for (const std::uint32_t i : sample) values.push_back(along(line, i));
    std::sort(values.begin(), values.end());
    const std::size_t margin = values.size() / 4;
    std::size_t best = values.size() / 2;
    float widest = -1;
    for (std::size_t i = std::max<std::size_t>(1, margin); i + margin < values.size(); ++i) {
      const float gap = values[i] - values[i - 1];
      if (gap > widest) {
        widest = gap;
        best = i;
      }
    }
    return values[best - 1] + (values[best] - values[best - 1]) / 2;
  }

  /// Sorts a part just so far that the images before `middle` come before the others along a line.
  std::size_t halve(Part part, std::size_t middle, const Vector& line) {
    std::nth_element(at(part.begin), at(middle), at(part.end), [&](std::uint32_t a, std::uint32_t b) {
      const float x = along(line, a);
      const float y = along(line, b);
      return x < y || (x == y && a < b);
    });
    return middle;
  }

  void sort_runs(Part part) {
    const std::size_t size = part.end - part.begin;
    if (size <= kSmallRun) return;
    Vector line{};
    line[widest(sampled(part))] = 1;
    const std::size_t runs = divide_up(size, kSmallRun);
    const std::size_t middle = halve(part, part.begin + runs / 2 * kSmallRun, line);
    sort_runs({part.begin, middle});
    sort_runs({middle, part.end});
  }

  /// The entry of the sketches with the largest variance over a sample.
  std::size_t widest(const std::vector<std::uint32_t>& sample) const {
    std::size_t best = 0;
    double most = -1;
    for (std::size_t s = 0; s < kSketch; ++s) {
      double sum = 0;
      double squares = 0;
      for (const std::uint32_t i : sample) {
        const auto x = static_cast<double>(sketches_[i * kSketch + s]);
        sum += x;
        squares += x * x;
      }
      const double variance = squares - sum * sum / static_cast<double>(sample.size());
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

void sketch(const ImageRows& image, std::size_t dim, float share_weight, float out[kSketch]) {
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
    for (std::uint32_t h = 0; h < kHashes; ++h) {
      const std::uint32_t where = mixed(seed - 1U - h);
      const float p = share_weight * image.proportions[i];
      out[where % kSketch] += (where >> 16U & 1U) != 0U ? p : -p;
    }
  }
  // What is damaged goes anywhere: sorting needs numbers that compare.
  for (std::size_t s = 0; s < kSketch; ++s) {
    if (!(std::fabs(out[s]) < 1e30F)) out[s] = 0.0F;
  }
}

Clusters clustered(const std::vector<float>& sketches, std::size_t block, int threads,
                   Interruption& interruption) {
  Clusters clusters;
  clusters.order.resize(sketches.size() / kSketch);
  std::iota(clusters.order.begin(), clusters.order.end(), std::uint32_t{0});
  Splitter splitter(sketches, block, clusters.order);
  std::vector<Part> parts{{0, clusters.order.size()}};
  // Level by level, so that threads share the work; each part then goes on alone.
  while (parts.size() < 8 * static_cast<std::size_t>(threads) &&
         parts.size() * block < clusters.order.size()) {
    std::vector<Part> halves(2 * parts.size());
    parallel_for(
        parts.size(), threads,
        [&](std::size_t i) {
          const std::size_t border = splitter.split(parts[i]);
          halves[2 * i] = {parts[i].begin, border};
          halves[2 * i + 1] = {border, parts[i].end};
        },
        &interruption);
    parts.clear();
    for (const Part& half : halves) {
      if (half.begin < half.end) parts.push_back(half);
    }
  }
  std::vector<std::vector<std::size_t>> ends(parts.size());
  parallel_for(
      parts.size(), threads,
      [&](std::size_t i) {
        if (parts[i].begin < parts[i].end) splitter.split_all(parts[i], ends[i]);
      },
      &interruption);
  for (const std::vector<std::size_t>& some : ends) {
    clusters.ends.insert(clusters.ends.end(), some.begin(), some.end());
  }
  return clusters;
}

}  // namespace semcbir
