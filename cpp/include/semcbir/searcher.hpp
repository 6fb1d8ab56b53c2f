// SPDX-License-Identifier: MIT
// Exact nearest-neighbour search over signatures, with the semantic filter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "semcbir/class_find.hpp"
#include "semcbir/class_terms.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// Whether a search looks at screens, narrow copies of the signatures, before it computes distances. The
/// results are the same. Automatic: once so many queries have been searched for that it pays to build them.
/// Always: and all threads, too, however little there is to do.
enum class Screening { automatic, never, always };

struct SearchOptions {
  std::size_t k = 20;    ///< at least 1; may exceed the number of images
  double epsilon = 0.9;  ///< images with a histogram distance above it are penalised; none from 2 on
  bool drop = false;     ///< leave the penalised images out
  int threads = 1;
  Screening screening = Screening::automatic;
  const double* epsilons = nullptr;   ///< by query, in the place of epsilon
  const ClassTerms* terms = nullptr;  ///< what is asked of single classes
};

/// What a search looked at for one query, if it used screens (docs/search.md); zeros if it did not.
struct SearchWork {
  std::int64_t all_blocks = 0;
  std::int64_t blocks = 0;  ///< of which at least shares or norms were read
  std::int64_t bytes = 0;   ///< of screens, that were read
  std::int64_t distances = 0;
};

/// Where a search of q queries writes, in the caller's memory.
struct SearchOutput {
  std::int64_t* ids = nullptr;           ///< q x k; -1 where fewer than k images remain
  float* distances = nullptr;            ///< q x k; infinity where fewer than k remain
  float* histogram_distances = nullptr;  ///< q x k; likewise
  std::int64_t* kept = nullptr;          ///< q: how many of all images pass the filter
  SearchWork* work = nullptr;            ///< q, if wanted
  double* squared = nullptr;             ///< q x k squared distances, what ranks them, if wanted; likewise
};

/// What a searcher knows of a segment beside its signatures; searchers of the same segment may share it.
class SegmentScreen;

/// Exact search over segments of signatures, whose memory the caller keeps alive.
///
/// Order: kept images by (squared L2 distance in double, id), then penalised images likewise: those whose
/// histogram is too far, or that hold too little of what the terms need. Distances follow their definitions
/// to the bit, whatever the SIMD level and the number of threads, queries and segments. A distance that is
/// NaN, which damaged data can cause, counts as infinity.
class Searcher {
 public:
  /// Segments need centroids and ids and must have passed check_rows. `dim` is D. `screens` are none, or for
  /// each segment null or what another searcher of a segment with the same rows has; ids may differ. Throws
  /// std::invalid_argument for those of other segments.
  Searcher(std::vector<SignatureView> segments, std::size_t dim,
           std::vector<std::shared_ptr<SegmentScreen>> screens = {});
  Searcher(Searcher&&) noexcept;
  ~Searcher();

  std::size_t dim() const { return dim_; }
  /// Number of images that are not removed.
  std::size_t size() const { return size_; }
  /// What it knows of its segments.
  const std::vector<std::shared_ptr<SegmentScreen>>& screens() const;
  /// Bytes of memory that the screens take, 0 before they are built.
  std::size_t screen_bytes() const;

  /// Searches with every image of `queries` (ids not needed). Throws std::invalid_argument for k = 0, an
  /// epsilon that is negative or NaN, and for bad terms or threads. The calling thread asks `interrupted` now
  /// and then; where it says yes, the search throws InterruptedError and leaves the output unfinished.
  void search(const SignatureView& queries, const SearchOptions& options, const SearchOutput& output,
              const Interrupted& interrupted = {}) const;

  /// Finds for each query the m-th smallest histogram distance (the largest if there are fewer images, 0 if
  /// there are none) of the images that the terms do not leave out: an epsilon that m images pass, or more
  /// where some are equally far. Writes q numbers. Throws as `search` does, and for m = 0.
  void nearest_epsilons(const SignatureView& queries, std::size_t m, const ClassTerms* terms, int threads,
                        double* epsilons, const Interrupted& interrupted = {}) const;

  /// Finds for each query the m smallest of these histogram distances: q x m numbers, ascending, infinity
  /// where there are fewer. Of several searchers, the m-th smallest of all is that of one over all images.
  void smallest_histogram_distances(const SignatureView& queries, std::size_t m, const ClassTerms* terms,
                                    int threads, double* smallest, const Interrupted& interrupted = {}) const;

  /// Finds images by what they show; see find_images.
  std::vector<FoundImage> find(const FindOptions& options, std::int64_t& total,
                               const Interrupted& interrupted = {}) const {
    return find_images(segments_, options, total, interrupted);
  }
  /// The segments that it was made from.
  const std::vector<SignatureView>& segments() const { return segments_; }

 private:
  class Screens;

  /// Calls done(query, its m or fewer smallest histogram distances, in no order but for the last, which is
  /// the largest of them) for each query.
  template <class Done>
  void select_histogram_distances(const SignatureView& queries, std::size_t m, const ClassTerms* terms,
                                  int threads, const Interrupted& interrupted, const Done& done) const;

  bool worth_screening(const SearchOptions& options) const;

  std::vector<SignatureView> segments_;
  std::size_t dim_;
  std::size_t images_ = 0;  // removed ones included
  std::size_t size_ = 0;
  std::size_t largest_segment_ = 0;
  std::unique_ptr<Screens> screens_;
};

}  // namespace semcbir
