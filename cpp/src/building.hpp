// SPDX-License-Identifier: MIT
// What all builders of signatures share: checks, the semantic histogram, many images on several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "semcbir/interruption.hpp"
#include "semcbir/signature.hpp"

namespace semcbir {

/// Throws std::invalid_argument unless the numbers of a spec are in range.
void check_spec(const SignatureSpec& spec);

/// Throws std::invalid_argument for a label map without pixels.
void check_pixels(std::size_t height, std::size_t width);

/// Fills in classes and proportions (Fig. 4) from the pixels of each label. Throws std::invalid_argument for
/// a label that is neither below C nor void.
void build_histogram(const std::vector<std::uint64_t>& pixels, const SignatureSpec& spec,
                     ImageSignature& result);

/// The row of each label below `labels_end`; one more than the last row for labels that are no class.
std::vector<std::size_t> rows_of_labels(const std::vector<std::uint16_t>& classes, std::size_t labels_end);

/// build_one(i) for each of n images, in order. The message of an exception starts with the number of the
/// image. Throws InterruptedError where `interrupted` says so.
std::vector<ImageSignature> build_all(std::size_t n, int threads, const Interrupted& interrupted,
                                      const std::function<ImageSignature(std::size_t)>& build_one);

}  // namespace semcbir
