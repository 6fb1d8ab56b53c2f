// SPDX-License-Identifier: MIT
#include "screen.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

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
constexpr double kLargestNormStep = 65000;
constexpr int kLargestEntry = 127;
constexpr std::uint8_t kZeroEntry = 128;
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

/// Builds one block after another; each thread has its own.
class Builder {
 public:
  Builder(const SignatureView& view, const Screen& screen)
      : view_(view), screen_(screen), rows_of_(kMaxClasses) {}

  double entry_error = 0;
  double entry_norm = 0;

  void build(std::size_t first, std::size_t last, ScreenBlock& block) {
    block.first = first;
    block.images = last - first;
    block.unsure.assign(kMasks, 0);
    block.lengths.assign(kBlockImages, std::numeric_limits<float>::infinity());
    gather(first, block);
    std::size_t rows = 0;
    std::size_t columns = 0;
    for (const std::uint16_t label : labels_) {
      ScreenClass c{};
      c.label = label;
      c.rows = static_cast<std::uint16_t>(rows_of_[label].size());
      c.first = static_cast<std::uint32_t>(rows);
      c.column = kNoColumn;
      if (c.rows >= kFewestForColumn) c.column = static_cast<std::uint32_t>(columns++);
      rows += c.rows;
      block.classes.push_back(c);
    }
    block.places.resize(rows);
    block.proportions.resize(rows);
    // A class's last tile is read as if it were full.
    block.norms.resize(rows + kTileRows);
    block.scales.resize(rows + kTileRows);
    block.columns.assign(2 * columns * kBlockImages, 0);
    const std::size_t row_bytes = screen_.groups * kTileGroup;
    block.entries.assign(rows * row_bytes + kTileRows * kTileGroup, kZeroEntry);
    for (ScreenClass& c : block.classes) store(first, block, c);
    for (const std::uint16_t label : labels_) rows_of_[label].clear();
    labels_.clear();
  }

 private:
  /// Finds the images of each class, and each image's length.
  void gather(std::size_t first, ScreenBlock& block) {
    block.shortest = std::numeric_limits<float>::infinity();
    for (std::size_t place = 0; place < block.images; ++place) {
      const ImageRows image = rows(first + place);
      double squared = 0;
      bool plain = true;
      for (std::size_t i = 0; i < image.count; ++i) {
        std::vector<std::uint8_t>& rows_of_class = rows_of_[image.classes[i]];
        if (rows_of_class.empty()) labels_.push_back(image.classes[i]);
        rows_of_class.push_back(static_cast<std::uint8_t>(place));
        const float* row = image.centroids + i * screen_.dim;
        const float largest = largest_entry(row, screen_.dim);
        plain = plain && (largest == 0 || largest >= kSmallestEntry);
        squared += squared_norm(row, screen_.dim);
      }
      plain = plain && squared < kLargestSquare;
      const double rounding = squared * relative_slack(image.count);
      block.lengths[place] =
          plain ? rounded_down(squared - rounding) : -std::numeric_limits<float>::infinity();
      block.shortest = std::min(block.shortest, block.lengths[place]);
      if (plain) block.slack = std::max(block.slack, rounded_up(2 * rounding + 1e-6 * squared));
      if (!sums_to_one(image)) block.unsure[place / kTileRows] |= bit(place);
    }
    std::sort(labels_.begin(), labels_.end());
  }

  void store(std::size_t first, ScreenBlock& block, ScreenClass& c) {
    const std::vector<std::uint8_t>& places = rows_of_[c.label];
    std::uint16_t* column = c.column == kNoColumn ? nullptr : &block.columns[2 * c.column * kBlockImages];
    for (std::size_t r = 0; r < c.rows; ++r) {
      const std::size_t place = places[r];
      const ImageRows image = rows(first + place);
      const auto* found = std::lower_bound(image.classes, image.classes + image.count, c.label);
      const auto i = static_cast<std::size_t>(found - image.classes);
      const std::uint16_t steps = proportion_steps_up(image.proportions[i]);
      const float* row = image.centroids + i * screen_.dim;
      const bool plain = block.lengths[place] > -std::numeric_limits<float>::infinity();
      const std::uint16_t norm =
          plain ? norm_steps(std::sqrt(squared_norm(row, screen_.dim))) : std::uint16_t{0};
      block.places[c.first + r] = static_cast<std::uint8_t>(place);
      block.proportions[c.first + r] = steps;
      block.norms[c.first + r] = norm;
      if (column != nullptr) {
        column[place] = steps;
        column[kBlockImages + place] = norm;
      }
      c.largest_proportion = std::max(c.largest_proportion, steps);
      c.largest_norm = std::max(c.largest_norm, norm);
      const float scale = plain ? store_row(row, block, c, r) : 0.0F;
      block.scales[c.first + r] = scale;
      c.largest_scale = std::max(c.largest_scale, scale);
    }
  }

  /// Stores a row as multiples of a scale, which is returned.
  float store_row(const float* row, ScreenBlock& block, const ScreenClass& c, std::size_t r) {
    const float scale = largest_entry(row, screen_.dim) / static_cast<float>(kLargestEntry);
    if (scale == 0) return 0;
    const std::size_t tile = r / kTileRows;
    const std::size_t width = std::min(kTileRows, c.rows - tile * kTileRows);
    std::uint8_t* out = &block.entries[screen_.tile_start(c, tile)] + r % kTileRows * kTileGroup;
    double error = 0;
    double squares = 0;
    for (std::size_t d = 0; d < screen_.dim; ++d) {
      const auto x = static_cast<double>(row[d]);
      const auto z = static_cast<int>(std::lrint(x / static_cast<double>(scale)));
      const double off = x - static_cast<double>(scale) * z;
      error += off * off;
      squares += x * x;
      out[d / kTileGroup * width * kTileGroup + d % kTileGroup] = static_cast<std::uint8_t>(z + kZeroEntry);
    }
    entry_error = std::max(entry_error, std::sqrt(error) / static_cast<double>(scale));
    entry_norm = std::max(entry_norm, std::sqrt(squares) / static_cast<double>(scale));
    return scale;
  }

  std::uint16_t norm_steps(double norm) const {
    return static_cast<std::uint16_t>(std::ceil(norm / static_cast<double>(screen_.norm_step) * (1 + 1e-6)));
  }

  ImageRows rows(std::size_t place) const { return image_rows(view_, screen_.order[place], screen_.dim); }

  const SignatureView& view_;
  const Screen& screen_;
  std::vector<std::vector<std::uint8_t>> rows_of_;  // places of a class's images
  std::vector<std::uint16_t> labels_;               // classes of the block
};

/// Classes that fewer than one in so many blocks have are listed, not kept as columns.
constexpr std::size_t kBlocksPerEntry = 8;

/// Fills in what the screen says of its blocks.
void summarize(Screen& screen) {
  const std::size_t padded = screen.padded_blocks();
  screen.shortest.assign(padded, std::numeric_limits<float>::infinity());
  screen.unsure.assign(padded, 0);
  std::vector<std::uint32_t> count(kMaxClasses, 0);
  for (std::size_t b = 0; b < screen.blocks.size(); ++b) {
    const ScreenBlock& block = screen.blocks[b];
    screen.shortest[b] = block.shortest;
    for (const std::uint16_t u : block.unsure) screen.unsure[b] |= u != 0 ? 1 : 0;
    for (const ScreenClass& c : block.classes) ++count[c.label];
  }
  std::vector<std::size_t> number(kMaxClasses, 0);
  std::size_t columns = 0;
  std::size_t entries = 0;
  for (std::size_t label = 0; label < kMaxClasses; ++label) {
    if (count[label] == 0) continue;
    number[label] = screen.summaries.size();
    ScreenSummary summary{static_cast<std::uint16_t>(label), static_cast<std::uint32_t>(entries), 0, columns};
    if (count[label] * kBlocksPerEntry >= screen.blocks.size()) {
      columns += 3 * padded;
    } else {
      summary.entries = count[label];
      entries += count[label];
    }
    screen.summaries.push_back(summary);
  }
  screen.summary_columns.assign(columns, 0);
  screen.summary_entries.resize(entries);
  std::vector<std::uint32_t> filled(screen.summaries.size(), 0);
  for (std::size_t b = 0; b < screen.blocks.size(); ++b) {
    const std::vector<ScreenClass>& classes = screen.blocks[b].classes;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      const ScreenClass& c = classes[i];
      const std::size_t n = number[c.label];
      const ScreenSummary& summary = screen.summaries[n];
      if (summary.entries == 0) {
        std::uint16_t* column = &screen.summary_columns[summary.column + b];
        column[0] = c.largest_proportion;
        column[padded] = c.largest_norm;
        column[2 * padded] = static_cast<std::uint16_t>(i + 1);
      } else {
        screen.summary_entries[summary.first + filled[n]++] = {static_cast<std::uint32_t>(b),
                                                               static_cast<std::uint16_t>(i),
                                                               c.largest_proportion, c.largest_norm};
      }
    }
  }
}

}  // namespace

std::size_t Screen::bytes() const {
  std::size_t sum = order.capacity() * sizeof(order[0]) + summaries.capacity() * sizeof(ScreenSummary) +
                    2 * summary_columns.capacity() + sizeof(ScreenEntry) * summary_entries.capacity() +
                    sizeof(float) * shortest.capacity() + unsure.capacity();
  for (const ScreenBlock& b : blocks) {
    sum += sizeof(b) + b.classes.capacity() * sizeof(ScreenClass) + b.lengths.capacity() * sizeof(float) +
           b.places.capacity() + 2 * (b.proportions.capacity() + b.norms.capacity() + b.columns.capacity()) +
           b.scales.capacity() * sizeof(float) + b.entries.capacity() + 2 * b.unsure.capacity();
  }
  return sum;
}

Screen build_screen(const SignatureView& view, std::size_t dim, int threads, Interruption& interruption) {
  Screen screen;
  screen.dim = dim;
  screen.groups = (dim + kTileGroup - 1) / kTileGroup;
  const std::size_t chunks = (view.images + kChunk - 1) / kChunk;
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
  screen.blocks.resize(blocks);
  std::vector<double> errors(tasks, 0.0);
  std::vector<double> norms(tasks, 0.0);
  parallel_for(
      tasks, threads,
      [&](std::size_t task) {
        Builder builder(view, screen);
        for (std::size_t b = blocks * task / tasks; b < blocks * (task + 1) / tasks; ++b) {
          builder.build(b == 0 ? 0 : clusters.ends[b - 1], clusters.ends[b], screen.blocks[b]);
          interruption.check(kBlockImages);
        }
        errors[task] = builder.entry_error;
        norms[task] = builder.entry_norm;
      },
      &interruption);
  if (tasks > 0) {
    screen.entry_error = rounded_up(*std::max_element(errors.begin(), errors.end()));
    screen.entry_norm = rounded_up(*std::max_element(norms.begin(), norms.end()));
  }
  summarize(screen);
  return screen;
}

}  // namespace semcbir
