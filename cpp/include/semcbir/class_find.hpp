// SPDX-License-Identifier: MIT
// Images by what they show, without a query's photo: classes and their shares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "semcbir/interruption.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Classes that an image is asked to show, as if they were one.
struct AskedClasses {
  std::vector<std::uint16_t> labels;  ///< ascending
  std::optional<double> share;        ///< how much of the image they should be; none: the more the better
};

struct FindOptions {
  std::vector<AskedClasses> asked;
  double min_share = 0.0;             ///< the least of each, or what is asked of it if that is less
  std::vector<std::uint16_t> barred;  ///< images of which one of these is more than max_share are left out
  double max_share = 1.0;
  std::size_t first = 0;  ///< how many of the best are passed over
  std::size_t k = 20;
  int threads = 1;
};

/// An image that shows what is asked.
struct FoundImage {
  double distance;  ///< sum of |share - asked share| over what is asked with a share, in the order asked
  double least;     ///< the least share of what is asked without one; 1 if there is none
  std::int64_t id;
  std::size_t segment;
  std::size_t image;
};

/// The order of results: (distance, least share the larger first, id).
bool operator<(const FoundImage& a, const FoundImage& b);

/// What an image shows of each that is asked: its classes' shares summed in double, labels ascending.
std::vector<double> asked_shares(const std::vector<AskedClasses>& asked, const ImageRows& image);

/// Finds images [first, first + k) of those that show what is asked, best first, and sets `total` to how
/// many there are. Segments need ids. Throws std::invalid_argument for shares outside [0, 1], labels that do
/// not ascend, or bad threads, InterruptedError where `interrupted` says so.
std::vector<FoundImage> find_images(const std::vector<SignatureView>& segments, const FindOptions& options,
                                    std::int64_t& total, const Interrupted& interrupted = {});

}  // namespace semcbir
