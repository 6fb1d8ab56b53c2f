// SPDX-License-Identifier: MIT
// Signatures as the core reads them: views of columns that lie in the caller's memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace semcbir {

/// Many images in columns. The rows of image i are [offsets[i], offsets[i + 1]): one for each class that is
/// present in it, classes ascending. Owns nothing.
struct SignatureView {
  std::size_t images = 0;
  const std::int64_t* offsets = nullptr;   ///< images + 1
  const std::uint16_t* classes = nullptr;  ///< rows
  const float* proportions = nullptr;      ///< rows; sums to 1 within an image
  const float* centroids = nullptr;        ///< rows x D, or null where only histograms matter
  const std::int64_t* ids = nullptr;       ///< images, or null for queries; below 0: a removed image
};

/// The rows of one image of a view.
struct ImageRows {
  std::size_t count = 0;
  const std::uint16_t* classes = nullptr;
  const float* proportions = nullptr;
  const float* centroids = nullptr;
};

/// Rows of image i; `dim` is D (any number if the view has no centroids).
inline ImageRows image_rows(const SignatureView& view, std::size_t i, std::size_t dim) {
  const auto first = static_cast<std::size_t>(view.offsets[i]);
  const auto last = static_cast<std::size_t>(view.offsets[i + 1]);
  return {last - first, view.classes + first, view.proportions + first,
          view.centroids == nullptr ? nullptr : view.centroids + first * dim};
}

/// One more than the largest label there is.
constexpr std::size_t kMaxClasses = 65536;

/// Throws std::invalid_argument unless offsets start at 0, never decrease and end at `rows`, and the classes
/// ascend strictly within every image and are below `n_classes`. All functions that take a view rely on this.
void check_rows(const SignatureView& view, std::size_t rows, std::size_t n_classes = kMaxClasses);

}  // namespace semcbir
