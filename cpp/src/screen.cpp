// SPDX-License-Identifier: MIT
#include "screen.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "clusters.hpp"
#include "exact.hpp"
#include "rounding.hpp"
#include "semcbir/parallel.hpp"

namespace semcbir {
namespace {

// Images that one task of the first pass looks at.
constexpr std::size_t kChunk = 1024;
constexpr std::size_t kJudged = 512;
// What proportions weigh in sketches beside descriptors; found by trying.
constexpr double kShareWeight = 1.5;
constexpr std::size_t kLargePage = std::size_t{1} << 21U;
constexpr double kLargestNormStep = 65000;
constexpr int kLargestEntry = 127;
// Rows whose largest entry is smaller, but not 0, have no scale that a float holds well.
constexpr float kSmallestEntry = 1e-18F;

/// The median of the lengths of some signatures.
double typical_length(const SignatureView& view, std::size_t dim) {
  std::vector<double> lengths;
  const std::size_t step = std::max<std::size_t>(1, view.images / kJudged);
  for (std::size_t i = 0; i < view.images; i += step) {
    const ImageRows image = image_rows(view, i, dim);
    double squared = 0;
    for (std::size_t r = 0; r < image.count; ++r) {
      squared += squared_norm(image.centroids + r * dim, dim);
    }
    if (squared < kLargestSquare) lengths.push_back(std::sqrt(squared));
  }
  if (lengths.empty()) return 1;
  const auto middle = lengths.begin() + static_cast<std::ptrdiff_t>(lengths.size() / 2);
  std::nth_element(lengths.begin(), middle, lengths.end());
  return *middle;
}

/// A class of a block that was built.
struct BuiltClass {
  std::uint16_t label = 0;
  std::uint16_t largest_share = 0;
  std::uint16_t largest_norm = 0;
  ScreenPart part;
};

/// Builds one block after another; each thread has its own.
class Builder {
 public:
  Builder(const SignatureView& view, const Screen& screen)
      : view_(view), screen_(screen), rows_of_(kMaxClasses) {}

  /// Finds the block's classes, labels ascending, and where they will be. Returns how many bytes it takes.
  std::size_t lay_out(std::size_t first, std::size_t last, ScreenBlock& block,
                      std::vector<BuiltClass>& classes) {
    block.first = first;
    block.images = last - first;
    for (std::size_t at = first; at < last; ++at) {
      const ImageRows image = rows(at);
      for (std::size_t i = 0; i < image.count; ++i) {
        std::vector<std::uint8_t>& rows_of_class = rows_of_[image.classes[i]];
        if (rows_of_class.empty()) classes.push_back({image.classes[i], 0, 0, {}});
        rows_of_class.push_back(static_cast<std::uint8_t>(at - first));
      }
    }
    std::sort(classes.begin(), classes.end(),
              [](const BuiltClass& a, const BuiltClass& b) { return a.label < b.label; });
    std::size_t size = sizeof(float) * kBlockImages;
    for (BuiltClass& c : classes) {
      const std::size_t count = rows_of_[c.label].size();
      rows_of_[c.label].clear();
      c.part = ScreenPart(rounded_up_to(size, PartView::alignment(count)), count);
      size = c.part.offset() + PartView::size(count, screen_.width);
    }
    return rounded_up_to(size, kLine);
  }

  /// Fills the block's memory, which are zeros.
  void fill(ScreenBlock& block, std::vector<BuiltClass>& classes) {
    measure(block);
    std::memcpy(writable(block.memory), lengths_.data(), lengths_.size() * sizeof(float));
    for (BuiltClass& c : classes) store(block, c);
    for (const BuiltClass& c : classes) rows_of_[c.label].clear();
  }

 private:
  /// Finds the images of each class, and each image's length.
  void measure(ScreenBlock& block) {
    lengths_.assign(kBlockImages, std::numeric_limits<float>::infinity());
    block.shortest = std::numeric_limits<float>::infinity();
    for (std::size_t place = 0; place < block.images; ++place) {
      const ImageRows image = rows(block.first + place);
      double squared = 0;
      bool plain = true;
      for (std::size_t i = 0; i < image.count; ++i) {
        rows_of_[image.classes[i]].push_back(static_cast<std::uint8_t>(place));
        const float* row = image.centroids + i * screen_.dim;
        const float largest = largest_entry(row, screen_.dim);
        plain = plain && (largest == 0 || largest >= kSmallestEntry);
        squared += squared_norm(row, screen_.dim);
      }
      plain = plain && squared < kLargestSquare;
      const double rounding = squared * relative_slack(image.count);
      lengths_[place] = plain ? rounded_down(squared - rounding) : -std::numeric_limits<float>::infinity();
      block.shortest = std::min(block.shortest, lengths_[place]);
      if (plain) block.slack = std::max(block.slack, rounded_up(2 * rounding + 1e-6 * squared));
      if (!sums_to_one(image)) block.unsure[place / kMaskBits] |= bit(place);
    }
  }

  void store(ScreenBlock& block, BuiltClass& c) {
    const std::vector<std::uint8_t>& places = rows_of_[c.label];
    const PartView part(block.memory, c.part);
    center_.assign(screen_.dim, 0.0);
    center_rounding_ = 0;
    if (part.has_columns()) store_center(block, c.label, part);
    for (std::size_t r = 0; r < places.size(); ++r) {
      const std::size_t place = places[r];
      const ImageRows image = rows(block.first + place);
      const std::size_t i = row_of(image, c.label);
      const std::uint16_t share = proportion_steps_up(image.proportions[i]);
      const float* row = image.centroids + i * screen_.dim;
      const bool plain = lengths_[place] > -std::numeric_limits<float>::infinity();
      const std::uint16_t norm =
          plain ? norm_steps(std::sqrt(squared_norm(row, screen_.dim))) : std::uint16_t{0};
      const std::uint32_t step = plain ? store_row(row, writable(part.entries()) + r * screen_.width) : 0;
      const std::size_t at = part.has_columns() ? place : r;
      writable(part.shares())[at] = share;
      writable(part.norms())[at] = norm;
      writable(part.steps())[r] = step;
      if (part.has_columns()) {
        const std::size_t mask = place / kMaskBits;
        writable(part.present())[mask] |= bit(place);
        for (std::size_t m = mask + 1; m < kMasks; ++m) ++writable(part.before())[m];
      } else {
        writable(part.places())[r] = static_cast<std::uint8_t>(place);
      }
      c.largest_share = std::max(c.largest_share, share);
      c.largest_norm = std::max(c.largest_norm, norm);
    }
  }

  /// Stores the mean of a class's rows, in steps, which then is the center.
  void store_center(const ScreenBlock& block, std::uint16_t label, const PartView& part) {
    std::vector<float> mean(screen_.dim, 0.0F);
    std::size_t count = 0;
    for (const std::size_t place : rows_of_[label]) {
      if (!(lengths_[place] > -std::numeric_limits<float>::infinity())) continue;
      const ImageRows image = rows(block.first + place);
      const float* row = image.centroids + row_of(image, label) * screen_.dim;
      ++count;
      for (std::size_t d = 0; d < screen_.dim; ++d) mean[d] += (row[d] - mean[d]) / static_cast<float>(count);
    }
    std::int8_t* entries = writable(part.entries()) + part.rows() * screen_.width;
    const std::uint32_t step = store_row(mean.data(), entries);
    writable(part.steps())[part.rows()] = step;
    for (std::size_t d = 0; d < screen_.dim; ++d) {
      center_[d] = static_cast<double>(row_scale(step)) * static_cast<double>(entries[d]);
    }
    double squared = 0;
    for (const double x : center_) squared += x * x;
    center_rounding_ = std::sqrt(squared) * kCenterRounding;
  }

  /// Stores what a row is off the center as multiples of a scale, and returns PartView::steps.
  std::uint32_t store_row(const float* row, std::int8_t* out) const {
    double largest = 0;
    for (std::size_t d = 0; d < screen_.dim; ++d) {
      largest = std::max(largest, std::fabs(static_cast<double>(row[d]) - center_[d]));
    }
    if (largest == 0) return upper_rounded_up(center_rounding_);
    const std::uint32_t upper = upper_rounded_up(largest / kLargestEntry);
    const auto scale = static_cast<double>(float_of_upper(upper));
    double error = 0;
    for (std::size_t d = 0; d < screen_.dim; ++d) {
      const double x = static_cast<double>(row[d]) - center_[d];
      const auto z = static_cast<int>(std::lrint(x / scale));
      const double off = x - scale * z;
      error += off * off;
      out[d] = static_cast<std::int8_t>(z);
    }
    return upper << 16U | upper_rounded_up(std::sqrt(error) * (1 + 1e-6) + center_rounding_);
  }

  static std::size_t row_of(const ImageRows& image, std::uint16_t label) {
    return static_cast<std::size_t>(std::lower_bound(image.classes, image.classes + image.count, label) -
                                    image.classes);
  }

  std::uint16_t norm_steps(double norm) const {
    return static_cast<std::uint16_t>(std::ceil(norm / static_cast<double>(screen_.norm_step) * (1 + 1e-6)));
  }

  /// Views are for readers; the builder owns the memory that they show.
  template <class T>
  static T* writable(const T* p) {
    return const_cast<T*>(p);
  }

  ImageRows rows(std::size_t place) const { return image_rows(view_, screen_.order[place], screen_.dim); }

  const SignatureView& view_;
  const Screen& screen_;
  std::vector<std::vector<std::uint8_t>> rows_of_;  // places of a class's images
  std::vector<float> lengths_;
  std::vector<double> center_;  // of the rows of a class that are stored as what they are off it
  double center_rounding_ = 0;
};

/// Classes that fewer than one in so many blocks have are listed, not kept as columns.
constexpr std::size_t kBlocksPerEntry = 8;

/// Fills in what the screen says of its blocks, whose classes are given.
void summarize(Screen& screen, const std::vector<std::vector<BuiltClass>>& classes) {
  const std::size_t padded = screen.padded_blocks();
  screen.shortest.assign(padded, std::numeric_limits<float>::infinity());
  screen.unsure.assign(padded, 0);
  std::vector<std::uint32_t> count(kMaxClasses, 0);
  for (std::size_t b = 0; b < screen.blocks.size(); ++b) {
    const ScreenBlock& block = screen.blocks[b];
    screen.shortest[b] = block.shortest;
    for (const std::uint16_t u : block.unsure) screen.unsure[b] |= u != 0 ? 1 : 0;
    for (const BuiltClass& c : classes[b]) ++count[c.label];
  }
  std::vector<std::size_t> number(kMaxClasses, 0);
  std::size_t columns = 0;
  std::size_t entries = 0;
  for (std::size_t label = 0; label < kMaxClasses; ++label) {
    if (count[label] == 0) continue;
    number[label] = screen.summaries.size();
    ScreenSummary summary{static_cast<std::uint16_t>(label), 0, columns};
    if (count[label] * kBlocksPerEntry >= screen.blocks.size()) {
      columns += padded;
    } else {
      summary.entries = count[label];
      summary.first = entries;
      entries += count[label];
    }
    screen.summaries.push_back(summary);
  }
  screen.shares.assign(columns, 0);
  screen.norms.assign(columns, 0);
  screen.parts.resize(columns);
  screen.entries.resize(entries);
  std::vector<std::uint32_t> filled(screen.summaries.size(), 0);
  for (std::size_t b = 0; b < screen.blocks.size(); ++b) {
    for (const BuiltClass& c : classes[b]) {
      const std::size_t n = number[c.label];
      const ScreenSummary& summary = screen.summaries[n];
      if (summary.entries == 0) {
        screen.shares[summary.first + b] = c.largest_share;
        screen.norms[summary.first + b] = c.largest_norm;
        screen.parts[summary.first + b] = c.part;
      } else {
        screen.entries[summary.first + filled[n]++] = {static_cast<std::uint32_t>(b), c.largest_share,
                                                       c.largest_norm, c.part};
      }
    }
  }
}

}  // namespace

AlignedBytes::AlignedBytes(std::size_t size) : size_(size) {
  const bool large = size >= 2 * kLargePage;
  const std::align_val_t alignment{large ? kLargePage : kLine};
  bytes_ = std::unique_ptr<std::uint8_t, Free>(static_cast<std::uint8_t*>(::operator new(size, alignment)),
                                               Free{alignment});
#ifdef __linux__
  if (large) madvise(bytes_.get(), size, MADV_HUGEPAGE);  // a wish: nothing is lost if it is refused
#endif
}

std::size_t Screen::bytes() const {
  const std::size_t sum = order.capacity() * sizeof(order[0]) + summaries.capacity() * sizeof(ScreenSummary) +
                          sizeof(std::uint16_t) * (shares.capacity() + norms.capacity()) +
                          sizeof(ScreenPart) * parts.capacity() + sizeof(ScreenEntry) * entries.capacity() +
                          sizeof(float) * shortest.capacity() + unsure.capacity();
  return sum + sizeof(ScreenBlock) * blocks.capacity() + memory.size();
}

Screen build_screen(const SignatureView& view, std::size_t dim, int threads, Interruption& interruption) {
  Screen screen;
  screen.dim = dim;
  screen.width = row_width(dim);
  const std::size_t chunks = divide_up(view.images, kChunk);
  std::vector<float> sketches(view.images * kSketch);
  std::vector<double> largest(chunks, 0.0);
  const auto share_weight = static_cast<float>(kShareWeight * typical_length(view, dim));
  parallel_for(
      chunks, threads,
      [&](std::size_t chunk) {
        const std::size_t last = std::min((chunk + 1) * kChunk, view.images);
        for (std::size_t i = chunk * kChunk; i < last; ++i) {
          const ImageRows image = image_rows(view, i, dim);
          sketch(image, dim, share_weight, &sketches[i * kSketch]);
          for (std::size_t r = 0; r < image.count; ++r) {
            const double squared = squared_norm(image.centroids + r * dim, dim);
            if (squared < kLargestSquare) largest[chunk] = std::max(largest[chunk], std::sqrt(squared));
          }
        }
      },
      &interruption);
  const double norm = chunks == 0 ? 0.0 : *std::max_element(largest.begin(), largest.end());
  if (norm > 0) screen.norm_step = rounded_up(norm / kLargestNormStep);
  Clusters clusters = clustered(sketches, kBlockImages, threads, interruption);
  screen.order = std::move(clusters.order);

  const std::size_t blocks = clusters.ends.size();
  const std::size_t tasks = std::min(blocks, 8 * static_cast<std::size_t>(threads));
  const auto for_blocks = [&](const auto& build) {
    parallel_for(
        tasks, threads,
        [&](std::size_t task) {
          Builder builder(view, screen);
          for (std::size_t b = blocks * task / tasks; b < blocks * (task + 1) / tasks; ++b) {
            build(builder, b);
            interruption.check(kBlockImages);
          }
        },
        &interruption);
  };
  screen.blocks.resize(blocks);
  std::vector<std::vector<BuiltClass>> classes(blocks);
  std::vector<std::size_t> ends(blocks + 1, 0);
  for_blocks([&](Builder& builder, std::size_t b) {
    const std::size_t first = b == 0 ? 0 : clusters.ends[b - 1];
    ends[b + 1] = builder.lay_out(first, clusters.ends[b], screen.blocks[b], classes[b]);
  });
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  screen.memory = AlignedBytes(ends.back());
  for_blocks([&](Builder& builder, std::size_t b) {
    std::uint8_t* memory = screen.memory.data() + ends[b];
    std::memset(memory, 0, ends[b + 1] - ends[b]);
    screen.blocks[b].memory = memory;
    builder.fill(screen.blocks[b], classes[b]);
  });
  summarize(screen, classes);
  return screen;
}

}  // namespace semcbir
