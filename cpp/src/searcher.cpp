// SPDX-License-Identifier: MIT
#include "semcbir/searcher.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "exact.hpp"
#include "kernels.hpp"
#include "ranking.hpp"
#include "screen.hpp"
#include "screen_query.hpp"
#include "screened_search.hpp"
#include "segment_screen.hpp"
#include "semcbir/histogram.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/parallel.hpp"
#include "semcbir/signature_view.hpp"
#include "top_k.hpp"

namespace semcbir {
namespace {

// Images that stay in the cache while several queries are compared with them.
constexpr std::size_t kImagesPerBlock = 64;
constexpr std::size_t kQueriesPerTask = 8;
// Rankings longer than this are made one by one, as each needs memory in proportion to k.
constexpr std::size_t kLongRanking = 4096;
// More tasks than threads, so that none waits long for the last one.
constexpr std::size_t kTasksPerThread = 4;
constexpr std::size_t kMinImagesPerShard = 256;
constexpr std::size_t kImagesPerHistogramShard = 8192;
// Building screens takes as long as some thirty searches without them.
constexpr std::size_t kQueriesThatPay = 32;
constexpr std::size_t kImagesThatPay = 512;
// Of longer rankings too many images would be candidates.
constexpr std::size_t kRankingsThatPay = 16;
// Screens number images with 32 bits, and products of whole rows fit into 32 bits.
constexpr std::size_t kLargestScreenedSegment = std::size_t{1} << 32U;
constexpr std::size_t kLargestScreenedDim = std::size_t{1} << 15U;

/// Whether no search finds an image: it is removed, or the terms bar it.
bool is_left_out(std::int64_t id, const ImageRows& image, const ClassTerms* terms) {
  return id < 0 || (terms != nullptr && holds_barred(*terms, image));
}

/// One query's view of the search: what it looks for and what it has found.
class Query {
 public:
  Query(const ImageRows& rows, std::size_t dim, const SearchOptions& options, double epsilon,
        const Kernels& kernels)
      : rows_(rows),
        dim_(dim),
        epsilon_(epsilon),
        filtered_(epsilon < kEverything),
        drop_(options.drop),
        terms_(options.terms),
        distances_(kernels, rows, dim, options.terms),
        top_(options.k) {}

  /// Offers images [first, last) of a segment.
  void scan(const SignatureView& segment, std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      const std::int64_t id = segment.ids[i];
      const ImageRows image = image_rows(segment, i, dim_);
      if (is_left_out(id, image, terms_)) continue;
      const auto histogram = [&] { return nan_to_infinity(histogram_distance(rows_, image)); };
      // Without a filter eq. 1 is computed of those that are offered alone.
      const bool penalized =
          (terms_ != nullptr && !holds_needed(*terms_, image)) || (filtered_ && !(histogram() <= epsilon_));
      if (!penalized) {
        ++kept_;
      } else if (drop_ || top_.full_of_kept()) {
        continue;
      }
      const double squared = nan_to_infinity(distances_.squared(image));
      if (top_.may_enter(penalized, squared, id)) top_.offer({penalized, squared, id, histogram()});
    }
  }

  std::int64_t kept() const { return kept_; }
  std::vector<Candidate> take() { return top_.take(); }

 private:
  ImageRows rows_;
  std::size_t dim_;
  double epsilon_;
  bool filtered_;
  bool drop_;
  const ClassTerms* terms_;
  Distances distances_;
  TopK top_;
  std::int64_t kept_ = 0;
};

/// Calls f(segment, first, last) for every part of a segment with images of [begin, end), counted over all
/// segments.
template <class F>
void for_each_part(const std::vector<SignatureView>& segments, std::size_t begin, std::size_t end,
                   const F& f) {
  std::size_t start = 0;
  for (const SignatureView& segment : segments) {
    const std::size_t first = std::max(begin, start);
    const std::size_t last = std::min(end, start + segment.images);
    if (first < last) f(segment, first - start, last - start);
    start += segment.images;
  }
}

/// A search under way: tasks are (group of queries, shard of the images), and where there is more than one
/// shard the rankings of the shards are merged at the end.
class Search {
 public:
  Search(const std::vector<SignatureView>& segments, std::size_t images, std::size_t dim,
         const SignatureView& queries, const std::vector<std::size_t>& numbers, const SearchOptions& options,
         const SearchOutput& output, Interruption& interruption)
      : segments_(segments),
        images_(images),
        dim_(dim),
        queries_(queries),
        numbers_(numbers),
        options_(options),
        output_(output),
        interruption_(interruption),
        kernels_(active_kernels()),
        group_size_(std::min(options.k, images) > kLongRanking ? 1 : kQueriesPerTask),
        group_count_(divide_up(numbers.size(), group_size_)) {
    const std::size_t tasks = kTasksPerThread * static_cast<std::size_t>(std::max(options.threads, 1));
    const std::size_t wanted_shards = group_count_ == 0 ? 1 : divide_up(tasks, group_count_);
    const std::size_t max_shards = std::max<std::size_t>(1, images / kMinImagesPerShard);
    shards_ = options.threads == 1 ? 1 : std::min(wanted_shards, max_shards);
  }

  void run() {
    found_.resize(numbers_.size() * shards_);
    kept_.resize(numbers_.size() * shards_);
    parallel_for(
        group_count_ * shards_, options_.threads,
        [this](std::size_t task) { scan(task / shards_, task % shards_); }, &interruption_);
    if (shards_ == 1) return;
    parallel_for(numbers_.size(), options_.threads, [this](std::size_t q) { merge(q); }, &interruption_);
  }

 private:
  /// One task: compares the queries of a group with the images of a shard.
  void scan(std::size_t group, std::size_t shard) {
    const std::size_t first_query = group * group_size_;
    const std::size_t last_query = std::min(first_query + group_size_, numbers_.size());
    std::vector<Query> queries;
    for (std::size_t q = first_query; q < last_query; ++q) {
      const std::size_t number = numbers_[q];
      queries.emplace_back(image_rows(queries_, number, dim_), dim_, options_, epsilon_of(options_, number),
                           kernels_);
    }
    const std::size_t size = divide_up(images_, shards_);
    const std::size_t end = std::min((shard + 1) * size, images_);
    for_each_part(segments_, shard * size, end,
                  [&](const SignatureView& segment, std::size_t first, std::size_t last) {
                    for (std::size_t block = first; block < last; block += kImagesPerBlock) {
                      const std::size_t block_end = std::min(block + kImagesPerBlock, last);
                      for (Query& query : queries) query.scan(segment, block, block_end);
                      interruption_.check((block_end - block) * queries.size());
                    }
                  });
    for (std::size_t q = first_query; q < last_query; ++q) {
      Query& query = queries[q - first_query];
      kept_[q * shards_ + shard] = query.kept();
      found_[q * shards_ + shard] = query.take();
      if (shards_ == 1) merge(q);
    }
  }

  /// Merges the rankings of query q over all shards and writes the result.
  void merge(std::size_t q) {
    const auto first = static_cast<std::ptrdiff_t>(q * shards_);
    const auto last = first + static_cast<std::ptrdiff_t>(shards_);
    std::int64_t kept = 0;
    for (auto shard = first; shard < last; ++shard) kept += kept_[static_cast<std::size_t>(shard)];
    output_.kept[numbers_[q]] = kept;
    std::vector<Candidate> ranking = std::exchange(found_[q * shards_], {});
    for (std::size_t s = q * shards_ + 1; s < (q + 1) * shards_; ++s) {
      const std::vector<Candidate> more = std::exchange(found_[s], {});
      const auto middle = static_cast<std::ptrdiff_t>(ranking.size());
      ranking.insert(ranking.end(), more.begin(), more.end());
      std::inplace_merge(ranking.begin(), ranking.begin() + middle, ranking.end());
      if (ranking.size() > options_.k) ranking.resize(options_.k);
    }
    write_ranking(ranking, numbers_[q], options_.k, output_);
  }

  const std::vector<SignatureView>& segments_;
  const std::size_t images_;
  const std::size_t dim_;
  const SignatureView& queries_;
  const std::vector<std::size_t>& numbers_;  // of the queries that are searched for
  const SearchOptions& options_;
  const SearchOutput& output_;
  Interruption& interruption_;
  const Kernels& kernels_;
  const std::size_t group_size_;
  const std::size_t group_count_;
  std::size_t shards_ = 1;
  std::vector<std::vector<Candidate>> found_;  // numbers x shards, each in order
  std::vector<std::int64_t> kept_;             // numbers x shards
};

}  // namespace

/// The screens of a searcher's segments, which the first search that they pay for builds.
class Searcher::Screens {
 public:
  explicit Screens(std::vector<std::shared_ptr<SegmentScreen>> segments) : segments_(std::move(segments)) {}

  const std::vector<std::shared_ptr<SegmentScreen>>& segments() const { return segments_; }

  /// The screened segments, or null where a search for so many queries should do without. A thread that finds
  /// another one at work on them does without.
  const std::vector<ScreenedSegment>* get(const std::vector<SignatureView>& views, std::size_t queries,
                                          const SearchOptions& options, Interruption& interruption) {
    std::size_t asked = 0;
    for (const auto& segment : segments_) asked = std::max(asked, segment->add_queries(queries));
    const Ready* ready = ready_.load(std::memory_order_acquire);
    if (ready != nullptr) return &ready->screened;
    if (options.screening == Screening::automatic && asked < kQueriesThatPay) return nullptr;
    for (std::size_t s = 0; s < views.size(); ++s) {
      if (segments_[s]->build(views[s], options.threads, interruption) == nullptr) return nullptr;
    }
    if (preparing_.exchange(true)) return nullptr;
    try {
      owned_ = std::make_unique<const Ready>(views, segments_);
    } catch (...) {
      preparing_.store(false);
      throw;
    }
    ready_.store(owned_.get(), std::memory_order_release);
    return &owned_->screened;
  }

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& segment : segments_) sum += segment->bytes();
    return sum;
  }

 private:
  struct Ready {
    Ready(const std::vector<SignatureView>& views,
          const std::vector<std::shared_ptr<SegmentScreen>>& segments) {
      for (std::size_t s = 0; s < views.size(); ++s)
        live.push_back(live_masks(views[s], *segments[s]->get()));
      for (std::size_t s = 0; s < views.size(); ++s) {
        const std::int64_t images = std::count_if(views[s].ids, views[s].ids + views[s].images,
                                                  [](std::int64_t id) { return id >= 0; });
        screened.push_back({&views[s], segments[s]->get(), live[s].data(), images});
      }
    }
    std::vector<std::vector<std::uint16_t>> live;
    std::vector<ScreenedSegment> screened;
  };

  const std::vector<std::shared_ptr<SegmentScreen>> segments_;
  std::atomic<bool> preparing_{false};
  std::unique_ptr<const Ready> owned_;
  std::atomic<const Ready*> ready_{nullptr};
};

Searcher::Searcher(std::vector<SignatureView> segments, std::size_t dim,
                   std::vector<std::shared_ptr<SegmentScreen>> screens)
    : segments_(std::move(segments)), dim_(dim) {
  if (dim < 1) throw std::invalid_argument("dim: expected at least 1, got 0");
  if (screens.empty()) screens.resize(segments_.size());
  if (screens.size() != segments_.size()) {
    throw std::invalid_argument("screens: expected one for each of " + std::to_string(segments_.size()) +
                                " segments, got " + std::to_string(screens.size()));
  }
  for (std::size_t s = 0; s < segments_.size(); ++s) {
    const SignatureView& segment = segments_[s];
    if (screens[s] == nullptr) screens[s] = std::make_shared<SegmentScreen>(segment.images, dim);
    if (screens[s]->images() != segment.images || screens[s]->dim() != dim) {
      throw std::invalid_argument(
          "screens: expected that of " + std::to_string(segment.images) + " images with dim " +
          std::to_string(dim) + " for segment " + std::to_string(s) + ", got that of " +
          std::to_string(screens[s]->images()) + " with dim " + std::to_string(screens[s]->dim()));
    }
    images_ += segment.images;
    largest_segment_ = std::max(largest_segment_, segment.images);
    size_ += static_cast<std::size_t>(
        std::count_if(segment.ids, segment.ids + segment.images, [](std::int64_t id) { return id >= 0; }));
  }
  screens_ = std::make_unique<Screens>(std::move(screens));
}

const std::vector<std::shared_ptr<SegmentScreen>>& Searcher::screens() const { return screens_->segments(); }

Searcher::Searcher(Searcher&&) noexcept = default;
Searcher::~Searcher() = default;

std::size_t Searcher::screen_bytes() const { return screens_->bytes(); }

void Searcher::search(const SignatureView& queries, const SearchOptions& options, const SearchOutput& output,
                      const Interrupted& interrupted) const {
  if (options.k < 1) throw std::invalid_argument("k: expected at least 1, got 0");
  for (std::size_t q = 0; q < (options.epsilons == nullptr ? 1 : queries.images); ++q) {
    const double epsilon = epsilon_of(options, q);
    if (!(epsilon >= 0.0)) {
      throw std::invalid_argument("epsilon: expected at least 0, got " + std::to_string(epsilon));
    }
  }
  if (options.terms != nullptr) check_terms(*options.terms);
  Interruption interruption(interrupted);
  std::vector<std::size_t> plain;
  std::vector<std::size_t> screened;
  std::vector<ImageRows> rows;
  const std::vector<ScreenedSegment>* screens = nullptr;
  if (worth_screening(options)) {
    screens = screens_->get(segments_, queries.images, options, interruption);
  }
  for (std::size_t q = 0; q < queries.images; ++q) {
    const ImageRows query = image_rows(queries, q, dim_);
    if (screens != nullptr &&
        can_be_screened(query, dim_, {epsilon_of(options, q), options.terms}, largest_norm_step(*screens))) {
      screened.push_back(q);
      rows.push_back(query);
    } else {
      plain.push_back(q);
    }
  }
  Search(segments_, images_, dim_, queries, plain, options, output, interruption).run();
  if (!screened.empty()) screened_search(*screens, dim_, rows, options, screened, output, interruption);
}

template <class Done>
void Searcher::select_histogram_distances(const SignatureView& queries, std::size_t m,
                                          const ClassTerms* terms, int threads,
                                          const Interrupted& interrupted, const Done& done) const {
  if (m < 1) throw std::invalid_argument("keep: expected at least 1, got 0");
  if (terms != nullptr) check_terms(*terms);
  Interruption interruption(interrupted);
  const std::size_t shards = divide_up(images_, kImagesPerHistogramShard);
  std::vector<double> found(images_);
  for (std::size_t q = 0; q < queries.images; ++q) {
    const ImageRows query = image_rows(queries, q, 0);
    std::atomic<std::size_t> count{0};
    parallel_for(
        shards, threads,
        [&](std::size_t shard) {
          const std::size_t begin = shard * kImagesPerHistogramShard;
          double* out = found.data() + begin;
          std::size_t here = 0;
          for_each_part(segments_, begin, std::min(begin + kImagesPerHistogramShard, images_),
                        [&](const SignatureView& segment, std::size_t first, std::size_t last) {
                          for (std::size_t i = first; i < last; ++i) {
                            const ImageRows image = image_rows(segment, i, 0);
                            // Those that are left out come behind all others.
                            *out = std::numeric_limits<double>::infinity();
                            if (!is_left_out(segment.ids[i], image, terms)) {
                              *out = nan_to_infinity(histogram_distance(query, image));
                              ++here;
                            }
                            ++out;
                          }
                        });
          count += here;
        },
        &interruption);
    const std::size_t n = std::min<std::size_t>(m, count);
    if (n > 0) {
      std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(n - 1), found.end());
    }
    done(q, found.data(), n);
  }
}

void Searcher::nearest_epsilons(const SignatureView& queries, std::size_t m, const ClassTerms* terms,
                                int threads, double* epsilons, const Interrupted& interrupted) const {
  select_histogram_distances(
      queries, m, terms, threads, interrupted,
      [&](std::size_t q, const double* found, std::size_t n) { epsilons[q] = n == 0 ? 0.0 : found[n - 1]; });
}

void Searcher::smallest_histogram_distances(const SignatureView& queries, std::size_t m,
                                            const ClassTerms* terms, int threads, double* smallest,
                                            const Interrupted& interrupted) const {
  select_histogram_distances(queries, m, terms, threads, interrupted,
                             [&](std::size_t q, const double* found, std::size_t n) {
                               double* out = smallest + q * m;
                               std::copy(found, found + n, out);
                               std::sort(out, out + n);
                               std::fill(out + n, out + m, std::numeric_limits<double>::infinity());
                             });
}

bool Searcher::worth_screening(const SearchOptions& options) const {
  if (options.screening == Screening::never || images_ == 0 || dim_ > kLargestScreenedDim) return false;
  if (largest_segment_ >= kLargestScreenedSegment) return false;
  if (options.screening == Screening::always) return true;
  return images_ >= kImagesThatPay && options.k <= images_ / kRankingsThatPay;
}

}  // namespace semcbir
