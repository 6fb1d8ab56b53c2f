// SPDX-License-Identifier: MIT
#include "semcbir/blend.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "exact.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/parallel.hpp"

namespace semcbir {
namespace {

/// A row of one of the images that are averaged.
struct Part {
  std::uint16_t label;
  std::size_t rank;  ///< 0: the image itself
  float proportion;
  std::uint32_t count;
  const float* centroid;
};

/// All rows that make up one image, by class and then by rank.
struct Parts {
  std::vector<Part> rows;
  std::size_t images = 0;  ///< how many images they come from
};

void add_rows(const CountedView& from, std::size_t image, std::size_t dim, Parts& parts) {
  const auto last = static_cast<std::size_t>(from.view.offsets[image + 1]);
  for (auto row = static_cast<std::size_t>(from.view.offsets[image]); row < last; ++row) {
    parts.rows.push_back({from.view.classes[row], parts.images, from.view.proportions[row], from.counts[row],
                          from.view.centroids + row * dim});
  }
  ++parts.images;
}

Parts gather(const BlendInput& input, std::size_t image) {
  Parts parts;
  add_rows(input.images, image, input.dim, parts);
  const std::int64_t* neighbours = input.neighbours + image * input.width;
  for (std::size_t r = 0; r < input.width && neighbours[r] >= 0; ++r) {
    add_rows(input.collection, static_cast<std::size_t>(neighbours[r]), input.dim, parts);
  }
  std::sort(parts.rows.begin(), parts.rows.end(), [](const Part& a, const Part& b) {
    return a.label != b.label ? a.label < b.label : a.rank < b.rank;
  });
  return parts;
}

std::size_t count_classes(const Parts& parts) {
  std::size_t classes = 0;
  for (std::size_t i = 0; i < parts.rows.size(); ++i) {
    classes += i == 0 || parts.rows[i].label != parts.rows[i - 1].label;
  }
  return classes;
}

/// Exact: k is far below 2^53.
double weight_of(std::size_t rank, std::size_t k) { return static_cast<double>(k + 1 - rank); }

double total_weight(std::size_t images, std::size_t k) {
  double total = 0.0;
  for (std::size_t rank = 0; rank < images; ++rank) total += weight_of(rank, k);
  return total;
}

/// Writes the row that parts [first, last), all of one class, make.
void write_row(const Part* first, const Part* last, double total, const BlendInput& input, std::size_t row,
               const SignatureColumns& columns, std::vector<double>& sums) {
  double proportion = 0.0;
  std::uint64_t count = 0;
  std::fill(sums.begin(), sums.end(), 0.0);
  for (const Part* part = first; part != last; ++part) {
    const double weight = weight_of(part->rank, input.k);
    proportion += weight * static_cast<double>(part->proportion);
    count += part->count;
    for (std::size_t d = 0; d < sums.size(); ++d) sums[d] += weight * static_cast<double>(part->centroid[d]);
  }
  const float own = first->rank == 0 ? first->proportion : 0.0F;
  columns.classes[row] = first->label;
  columns.proportions[row] = input.own_proportions ? own : static_cast<float>(proportion / total);
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  columns.counts[row] = static_cast<std::uint32_t>(std::min(count, kMost));
  float* centroid = columns.centroids + row * sums.size();
  for (std::size_t d = 0; d < sums.size(); ++d) centroid[d] = static_cast<float>(sums[d] / total);
}

void write_image(const BlendInput& input, std::size_t image, const SignatureColumns& columns) {
  const Parts parts = gather(input, image);
  const double total = total_weight(parts.images, input.k);
  auto row = static_cast<std::size_t>(columns.offsets[image]);
  std::vector<double> sums(input.dim);
  const Part* const end = parts.rows.data() + parts.rows.size();
  for (const Part* first = parts.rows.data(); first != end; ++row) {
    const Part* last = std::find_if(first, end, [&](const Part& part) { return part.label != first->label; });
    write_row(first, last, total, input, row, columns, sums);
    first = last;
  }
}

void check(const BlendInput& input) {
  if (input.width > input.k) {
    throw std::invalid_argument("neighbours: expected at most k = " + std::to_string(input.k) + ", got " +
                                std::to_string(input.width));
  }
  const auto images = static_cast<std::int64_t>(input.collection.view.images);
  const std::int64_t* end = input.neighbours + input.images.view.images * input.width;
  const std::int64_t* bad =
      std::find_if(input.neighbours, end, [&](std::int64_t at) { return at >= images; });
  if (bad != end) {
    throw std::invalid_argument("neighbours: expected positions below " + std::to_string(images) + ", got " +
                                std::to_string(*bad));
  }
}

}  // namespace

void blend_offsets(const BlendInput& input, int threads, std::int64_t* offsets,
                   const Interrupted& interrupted) {
  check(input);
  Interruption interruption(interrupted);
  offsets[0] = 0;
  const std::size_t images = input.images.view.images;
  const auto count = [&](std::size_t i) {
    offsets[i + 1] = static_cast<std::int64_t>(count_classes(gather(input, i)));
  };
  parallel_for(images, threads, count, &interruption);
  for (std::size_t i = 0; i < images; ++i) offsets[i + 1] += offsets[i];
}

void blend(const BlendInput& input, int threads, const SignatureColumns& columns,
           const Interrupted& interrupted) {
  check(input);
  Interruption interruption(interrupted);
  parallel_for(
      input.images.view.images, threads, [&](std::size_t i) { write_image(input, i, columns); },
      &interruption);
}

}  // namespace semcbir
