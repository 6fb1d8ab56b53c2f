// SPDX-License-Identifier: MIT
// Builds semantic histograms and signatures from label maps and grids of descriptors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "semcbir/interruption.hpp"
#include "semcbir/signature.hpp"

namespace semcbir {

/// What a signature is made from where a photo is described on a grid: every pixel is a keypoint with the
/// descriptor of its cell. Owns nothing.
struct GridImage {
  std::variant<const std::uint8_t*, const std::uint16_t*> labels;  ///< height x width, row by row
  std::size_t height = 0;
  std::size_t width = 0;
  const float* cells = nullptr;  ///< grid_height x grid_width x D
  std::size_t grid_height = 0;
  std::size_t grid_width = 0;
  const std::int32_t* rows = nullptr;     ///< height: the row of cells that each row of pixels lies in
  const std::int32_t* columns = nullptr;  ///< width: the column of cells that each column of pixels lies in
};

struct GridSpec {
  SignatureSpec signature;
  bool whole = false;  ///< a row more, class C (then at most 65535), for the photo as a whole
};

/// Semantic histogram and signature of one image (Sect. 3.1, Algorithm 1).
///
/// S_c is the sum over the cells, row by row, of n * descriptor, n being the pixels of class c in the cell,
/// divided by the sum of n; the whole row is the mean of the cells in which any pixel lies, in the same
/// order. All in double, the product rounded before it is added, one sum per entry; rounded to float once.
/// Counts are pixels, the whole row's those of the image. Throws std::invalid_argument for an image without
/// pixels or of more than 2^32 - 1, a label that is neither below C nor void, a row or column outside the
/// grid, and a cell, with or without pixels, that is not finite.
ImageSignature build_grid_signature(const GridImage& image, const GridSpec& spec);

/// The signatures of many images, in the same order. The message of an exception starts with the number of
/// the image. Throws InterruptedError where `interrupted` says so.
std::vector<ImageSignature> build_grid_signatures(const std::vector<GridImage>& images, const GridSpec& spec,
                                                  int threads, const Interrupted& interrupted = {});

}  // namespace semcbir
