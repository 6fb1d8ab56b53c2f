// SPDX-License-Identifier: MIT
#include "semcbir/signature.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "building.hpp"
#include "exact.hpp"
#include "float_environment.hpp"
#include "label_counts.hpp"
#include "semcbir/interruption.hpp"

namespace semcbir {
namespace {

/// Index of the pixel that a coordinate falls on: pixel i reaches from i - 1/2 to i + 1/2.
std::size_t pixel_at(float coordinate, std::size_t size) {
  const double pixel = std::floor(static_cast<double>(coordinate) + 0.5);
  return static_cast<std::size_t>(std::clamp(pixel, 0.0, static_cast<double>(size - 1)));
}

/// Sums of descriptors, one row per class and one more, the last, for keypoints on void pixels.
struct Sums {
  std::vector<double> sums;
  std::vector<std::uint32_t> counts;
};

template <class Label>
Sums sum_descriptors(const Label* labels, const LabelledImage& image,
                     const std::vector<std::size_t>& row_of_label, std::size_t rows, std::size_t dim) {
  Sums result{std::vector<double>((rows + 1) * dim), std::vector<std::uint32_t>(rows + 1)};
  for (std::size_t i = 0; i < image.keypoint_count; ++i) {
    const float x = image.keypoints[2 * i];
    const float y = image.keypoints[2 * i + 1];
    if (!std::isfinite(x) || !std::isfinite(y)) {
      throw std::invalid_argument("keypoints: expected finite coordinates, got (" + std::to_string(x) + ", " +
                                  std::to_string(y) + ") for keypoint " + std::to_string(i));
    }
    const Label label = labels[pixel_at(y, image.height) * image.width + pixel_at(x, image.width)];
    const std::size_t row = row_of_label[label];
    const float* descriptor = image.descriptors + i * dim;
    double* sum = result.sums.data() + row * dim;
    for (std::size_t d = 0; d < dim; ++d) sum[d] += static_cast<double>(descriptor[d]);
    ++result.counts[row];
  }
  return result;
}

[[noreturn]] void throw_not_finite(const LabelledImage& image, std::size_t dim) {
  const float* end = image.descriptors + image.keypoint_count * dim;
  const float* bad = std::find_if(image.descriptors, end, [](float value) { return !std::isfinite(value); });
  throw std::invalid_argument("descriptors: expected finite values, got " + std::to_string(*bad) +
                              " for keypoint " +
                              std::to_string(static_cast<std::size_t>(bad - image.descriptors) / dim));
}

/// Counts and centroids, from the keypoints. The histogram must be there.
template <class Label>
void build_centroids(const Label* labels, const LabelledImage& image, std::size_t dim, std::size_t labels_end,
                     ImageSignature& result) {
  const std::size_t rows = result.classes.size();
  const std::vector<std::size_t> row_of_label = rows_of_labels(result.classes, labels_end);
  const Sums total = sum_descriptors(labels, image, row_of_label, rows, dim);
  // Sums of finite floats are finite in double, so this sees every value that is not.
  if (!std::all_of(total.sums.begin(), total.sums.end(), [](double sum) { return std::isfinite(sum); })) {
    throw_not_finite(image, dim);
  }
  result.counts.assign(total.counts.begin(), total.counts.end() - 1);
  result.centroids.resize(rows * dim);
  for (std::size_t row = 0; row < rows; ++row) {
    if (result.counts[row] == 0) continue;
    const double count = result.counts[row];
    for (std::size_t d = row * dim; d < (row + 1) * dim; ++d) {
      result.centroids[d] = static_cast<float>(total.sums[d] / count);
    }
  }
}

template <class Label>
ImageSignature build(const Label* labels, const LabelledImage& image, const SignatureSpec& spec) {
  const std::vector<std::uint64_t> pixels = count_labels(labels, image.height * image.width);
  ImageSignature result;
  build_histogram(pixels, spec, result);
  build_centroids(labels, image, spec.dim, pixels.size(), result);
  return result;
}

}  // namespace

ImageSignature build_signature(const LabelledImage& image, const SignatureSpec& spec) {
  check_spec(spec);
  check_pixels(image.height, image.width);
  const FloatEnvironment environment;
  return std::visit([&](const auto* labels) { return build(labels, image, spec); }, image.labels);
}

std::vector<ImageSignature> build_signatures(const std::vector<LabelledImage>& images,
                                             const SignatureSpec& spec, int threads,
                                             const Interrupted& interrupted) {
  check_spec(spec);
  return build_all(images.size(), threads, interrupted,
                   [&](std::size_t i) { return build_signature(images[i], spec); });
}

std::size_t count_rows(const std::vector<ImageSignature>& signatures) {
  std::size_t rows = 0;
  for (const ImageSignature& signature : signatures) rows += signature.classes.size();
  return rows;
}

void write_columns(const std::vector<ImageSignature>& signatures, const SignatureColumns& columns) {
  SignatureColumns at = columns;
  std::int64_t rows = 0;
  *at.offsets++ = 0;
  for (const ImageSignature& one : signatures) {
    rows += static_cast<std::int64_t>(one.classes.size());
    *at.offsets++ = rows;
    at.classes = std::copy(one.classes.begin(), one.classes.end(), at.classes);
    at.proportions = std::copy(one.proportions.begin(), one.proportions.end(), at.proportions);
    at.counts = std::copy(one.counts.begin(), one.counts.end(), at.counts);
    at.centroids = std::copy(one.centroids.begin(), one.centroids.end(), at.centroids);
  }
}

}  // namespace semcbir
