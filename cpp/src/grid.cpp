// SPDX-License-Identifier: MIT
#include "semcbir/grid.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "building.hpp"
#include "exact.hpp"
#include "float_environment.hpp"
#include "label_counts.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {
namespace {

void check_grid_spec(const GridSpec& spec) {
  check_spec(spec.signature);
  if (spec.whole && spec.signature.n_classes == kMaxClasses) {
    throw std::invalid_argument("n_classes: expected 1 to 65535 beside a whole row, got 65536");
  }
}

void check_lines(const char* name, const std::int32_t* lines, std::size_t n, std::size_t end) {
  for (std::size_t i = 0; i < n; ++i) {
    if (lines[i] < 0 || static_cast<std::size_t>(lines[i]) >= end) {
      throw std::invalid_argument(std::string(name) + ": expected 0 to " + std::to_string(end - 1) +
                                  " in a grid of " + std::to_string(end) + ", got " +
                                  std::to_string(lines[i]) + " for pixel " + std::to_string(i));
    }
  }
}

/// Whether all numbers are finite, without a branch for each, so that compilers vectorise it.
bool all_finite(const float* values, std::size_t n) {
  constexpr std::uint32_t exponent = 0x7F800000;  // all ones: infinity or NaN
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    found |= (bits & exponent) == exponent ? 1U : 0U;
  }
  return found == 0;
}

void check_cells(const GridImage& image, std::size_t dim) {
  const std::size_t n = image.grid_height * image.grid_width * dim;
  if (all_finite(image.cells, n)) return;
  const float* bad =
      std::find_if(image.cells, image.cells + n, [](float value) { return !std::isfinite(value); });
  const std::size_t cell = static_cast<std::size_t>(bad - image.cells) / dim;
  throw std::invalid_argument("cells: expected finite values, got " + std::to_string(*bad) + " in row " +
                              std::to_string(cell / image.grid_width) + ", column " +
                              std::to_string(cell % image.grid_width));
}

void check_image(const GridImage& image, std::size_t dim) {
  check_pixels(image.height, image.width);
  if (image.height > std::numeric_limits<std::uint32_t>::max() / image.width) {
    throw std::invalid_argument("label map: expected at most 4294967295 pixels, got " +
                                std::to_string(image.height) + " x " + std::to_string(image.width));
  }
  if (image.grid_height == 0 || image.grid_width == 0) {
    throw std::invalid_argument("cells: expected at least one, got " + std::to_string(image.grid_height) +
                                " x " + std::to_string(image.grid_width));
  }
  check_lines("rows", image.rows, image.height, image.grid_height);
  check_lines("columns", image.columns, image.width, image.grid_width);
  check_cells(image, dim);
}

/// Neighbouring lines of pixels, [begin, end), that lie in one line of cells.
struct Run {
  std::size_t begin;
  std::size_t end;
};

/// For every line of cells the lines of pixels in it, ascending.
std::vector<std::vector<Run>> runs_of(const std::int32_t* lines, std::size_t n, std::size_t cells) {
  std::vector<std::vector<Run>> runs(cells);
  for (std::size_t i = 0; i < n;) {
    const std::size_t begin = i;
    while (i < n && lines[i] == lines[begin]) ++i;
    runs[static_cast<std::size_t>(lines[begin])].push_back({begin, i});
  }
  return runs;
}

/// The pixels of each class in one cell after the other.
class CellCounts {
 public:
  /// A class's row is row_of_label[label]; `rows` stands for labels that do not count.
  CellCounts(const std::vector<std::size_t>& row_of_label, std::size_t rows)
      : row_of_label_(row_of_label), counts_(rows + 1) {}

  template <class Label>
  void count(const Label* labels, std::size_t width, const std::vector<Run>& rows,
             const std::vector<Run>& columns) {
    for (const Run& band : rows) {
      for (std::size_t y = band.begin; y < band.end; ++y) {
        for (const Run& run : columns) count_line(labels + y * width, run);
      }
    }
  }

  /// Calls f(row, pixels) for each class in the cell, in any order, and forgets the cell.
  template <class F>
  void take(const F& f) {
    const std::size_t no_class = counts_.size() - 1;
    for (const std::size_t row : seen_) {
      if (row != no_class) f(row, counts_[row]);
      counts_[row] = 0;
    }
    seen_.clear();
  }

 private:
  template <class Label>
  void count_line(const Label* line, const Run& run) {
    for (std::size_t x = run.begin; x < run.end;) {
      const std::size_t begin = x;
      const Label label = line[begin];
      while (x < run.end && line[x] == label) ++x;
      const std::size_t row = row_of_label_[label];
      if (counts_[row] == 0) seen_.push_back(row);
      counts_[row] += static_cast<std::uint32_t>(x - begin);
    }
  }

  const std::vector<std::size_t>& row_of_label_;
  std::vector<std::uint32_t> counts_;
  std::vector<std::size_t> seen_;
};

/// A sum of descriptors, and the sum of their weights.
struct Sum {
  explicit Sum(std::size_t dim) : entries(dim) {}

  void add(const float* descriptor, std::uint32_t weight) {
    const double factor = weight;
    for (std::size_t d = 0; d < entries.size(); ++d) {
      entries[d] += factor * static_cast<double>(descriptor[d]);
    }
    weights += weight;
  }

  void write_mean(std::vector<float>& out) const {
    for (const double entry : entries) out.push_back(static_cast<float>(entry / weights));
  }

  std::vector<double> entries;
  double weights = 0.0;
};

template <class Label>
ImageSignature build(const Label* labels, const GridImage& image, const GridSpec& spec) {
  const std::size_t dim = spec.signature.dim;
  const std::vector<std::uint64_t> pixels = count_labels(labels, image.height * image.width);
  ImageSignature result;
  build_histogram(pixels, spec.signature, result);
  const std::size_t classes = result.classes.size();
  const std::vector<std::size_t> row_of_label = rows_of_labels(result.classes, pixels.size());
  const std::vector<std::vector<Run>> rows = runs_of(image.rows, image.height, image.grid_height);
  const std::vector<std::vector<Run>> columns = runs_of(image.columns, image.width, image.grid_width);
  CellCounts counts(row_of_label, classes);
  std::vector<Sum> sums(classes, Sum(dim));
  Sum whole(dim);
  for (std::size_t row = 0; row < image.grid_height; ++row) {
    for (std::size_t column = 0; column < image.grid_width; ++column) {
      if (rows[row].empty() || columns[column].empty()) continue;
      const float* cell = image.cells + (row * image.grid_width + column) * dim;
      counts.count(labels, image.width, rows[row], columns[column]);
      counts.take([&](std::size_t c, std::uint32_t n) { sums[c].add(cell, n); });
      if (spec.whole) whole.add(cell, 1);
    }
  }
  for (std::size_t c = 0; c < classes; ++c) {
    result.counts.push_back(static_cast<std::uint32_t>(pixels[result.classes[c]]));
    sums[c].write_mean(result.centroids);
  }
  if (spec.whole) {
    result.classes.push_back(static_cast<std::uint16_t>(spec.signature.n_classes));
    result.proportions.push_back(0.0F);
    result.counts.push_back(static_cast<std::uint32_t>(image.height * image.width));
    whole.write_mean(result.centroids);
  }
  return result;
}

}  // namespace

ImageSignature build_grid_signature(const GridImage& image, const GridSpec& spec) {
  check_grid_spec(spec);
  check_image(image, spec.signature.dim);
  const FloatEnvironment environment;
  return std::visit([&](const auto* labels) { return build(labels, image, spec); }, image.labels);
}

std::vector<ImageSignature> build_grid_signatures(const std::vector<GridImage>& images, const GridSpec& spec,
                                                  int threads, const Interrupted& interrupted) {
  check_grid_spec(spec);
  return build_all(images.size(), threads, interrupted,
                   [&](std::size_t i) { return build_grid_signature(images[i], spec); });
}

}  // namespace semcbir
