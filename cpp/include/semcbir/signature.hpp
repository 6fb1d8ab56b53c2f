// SPDX-License-Identifier: MIT
// Builds semantic histograms and signatures from label maps and local features.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "semcbir/interruption.hpp"

namespace semcbir {

/// What a signature is made from. Owns nothing.
struct LabelledImage {
  std::variant<const std::uint8_t*, const std::uint16_t*> labels;  ///< height x width, row by row
  std::size_t height = 0;
  std::size_t width = 0;
  const float* keypoints = nullptr;    ///< keypoint_count x (x, y), in pixels
  const float* descriptors = nullptr;  ///< keypoint_count x D
  std::size_t keypoint_count = 0;
};

struct SignatureSpec {
  std::size_t n_classes = 0;     ///< C, 1 to 65536: labels are below it, or void
  std::int32_t void_label = -1;  ///< pixels and keypoints on it do not count; any label, or -1 for none
  std::size_t dim = 0;           ///< D, at least 1
};

/// The rows of one image: a row for each class that has pixels, classes ascending.
struct ImageSignature {
  std::vector<std::uint16_t> classes;
  std::vector<float> proportions;     ///< share of the labelled pixels (Fig. 4)
  std::vector<std::uint32_t> counts;  ///< keypoints
  std::vector<float> centroids;       ///< rows x D: mean descriptor (Algorithm 1), zeros without keypoints
};

/// Semantic histogram and signature of one image (Sect. 3.1, Algorithm 1; K-means with k = 1 is the mean).
///
/// A keypoint has the label of pixel [floor(y + 1/2), floor(x + 1/2)], clamped to the image. Means are
/// accumulated in double, in keypoint order, one sum per entry. Throws std::invalid_argument for an image
/// without pixels, a label that is neither below C nor void, and for a keypoint or a descriptor that is not
/// finite.
ImageSignature build_signature(const LabelledImage& image, const SignatureSpec& spec);

/// The signatures of many images, in the same order. The message of an exception starts with the number of
/// the image. Throws InterruptedError where `interrupted` says so.
std::vector<ImageSignature> build_signatures(const std::vector<LabelledImage>& images,
                                             const SignatureSpec& spec, int threads,
                                             const Interrupted& interrupted = {});

/// The columns of a SignatureView, in the caller's memory, for write_columns to fill.
struct SignatureColumns {
  std::int64_t* offsets = nullptr;   ///< images + 1
  std::uint16_t* classes = nullptr;  ///< one per row, count_rows in all; so are the next two
  float* proportions = nullptr;
  std::uint32_t* counts = nullptr;
  float* centroids = nullptr;  ///< rows x D
};

/// Number of rows of all signatures together.
std::size_t count_rows(const std::vector<ImageSignature>& signatures);

/// Writes signatures one after the other into columns.
void write_columns(const std::vector<ImageSignature>& signatures, const SignatureColumns& columns);

}  // namespace semcbir
