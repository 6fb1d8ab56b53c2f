// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "check.hpp"
#include "random_signatures.hpp"
#include "reference.hpp"
#include "semcbir/searcher.hpp"
#include "semcbir/signature_view.hpp"
#include "semcbir/simd.hpp"
#include "top_k.hpp"

namespace {

using semcbir::Screening;
using semcbir::Searcher;
using semcbir::SearchOptions;
using semcbir::SignatureView;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr std::size_t kDim = 19;

struct Found {
  std::vector<std::int64_t> ids;
  std::vector<float> distances;
  std::vector<float> histogram_distances;
  std::vector<std::int64_t> kept;

  Found(std::size_t queries, std::size_t k)
      : ids(queries * k, -7), distances(queries * k), histogram_distances(queries * k), kept(queries, -7) {}

  bool operator==(const Found& other) const {
    return ids == other.ids && distances == other.distances &&
           histogram_distances == other.histogram_distances && kept == other.kept;
  }
};

Found search(const Searcher& searcher, const SignatureView& queries, const SearchOptions& options) {
  Found found(queries.images, options.k);
  searcher.search(
      queries, options,
      {found.ids.data(), found.distances.data(), found.histogram_distances.data(), found.kept.data()});
  return found;
}

/// By the definitions: computes every distance and sorts all images.
Found reference(const SignatureView& images, const SignatureView& queries, const SearchOptions& options) {
  Found found(queries.images, options.k);
  for (std::size_t q = 0; q < queries.images; ++q) {
    std::vector<std::tuple<bool, double, std::int64_t, double>> ranking;
    found.kept[q] = 0;
    for (std::size_t i = 0; i < images.images; ++i) {
      if (images.ids[i] < 0) continue;
      const semcbir::ImageRows a = image_rows(queries, q, kDim);
      const semcbir::ImageRows b = image_rows(images, i, kDim);
      const double h = test::reference_histogram_distance(a, b);
      const bool kept = options.epsilon >= 2.0 || h <= options.epsilon;
      found.kept[q] += kept ? 1 : 0;
      if (!kept && options.drop) continue;
      ranking.emplace_back(!kept, test::reference_squared_distance(a, b, kDim), images.ids[i], h);
    }
    std::sort(ranking.begin(), ranking.end());
    for (std::size_t r = 0; r < options.k; ++r) {
      const bool there = r < ranking.size();
      found.ids[q * options.k + r] = there ? std::get<2>(ranking[r]) : -1;
      found.distances[q * options.k + r] =
          there ? static_cast<float>(std::sqrt(std::get<1>(ranking[r]))) : kInf;
      found.histogram_distances[q * options.k + r] =
          there ? static_cast<float>(std::get<3>(ranking[r])) : kInf;
    }
  }
  return found;
}

/// Random images with ids out of order, duplicates (ties) and removed ones among them.
test::Signatures make_images(std::size_t n) {
  test::Random random(5);
  test::Signatures images;
  for (std::size_t i = 0; i < n; ++i) {
    test::Random same(static_cast<std::uint32_t>(1000 + i / 3));  // every image three times
    append_random(images, i % 2 == 0 ? same : random, 9, kDim);
    images.ids[i] = i % 11 == 4 ? -1 : static_cast<std::int64_t>((i * 7919) % n);
  }
  return images;
}

/// The same images split into segments of these sizes, each in memory of its own.
std::vector<test::Signatures> split(const test::Signatures& images, const std::vector<std::size_t>& sizes) {
  std::vector<test::Signatures> segments;
  std::size_t i = 0;
  for (const std::size_t size : sizes) {
    test::Signatures segment;
    for (std::size_t last = i + size; i < last; ++i) {
      for (auto r = static_cast<std::size_t>(images.offsets[i]);
           r < static_cast<std::size_t>(images.offsets[i + 1]); ++r) {
        segment.classes.push_back(images.classes[r]);
        segment.proportions.push_back(images.proportions[r]);
        const float* centroid = images.centroids.data() + r * kDim;
        segment.centroids.insert(segment.centroids.end(), centroid, centroid + kDim);
      }
      segment.offsets.push_back(static_cast<std::int64_t>(segment.classes.size()));
      segment.ids.push_back(images.ids[i]);
    }
    segments.push_back(segment);
  }
  return segments;
}

void test_against_reference() {
  const std::size_t n = 1500;
  const test::Signatures images = make_images(n);
  const std::vector<test::Signatures> parts = split(images, {0, 1, 10, 700, 0, 789});
  std::vector<SignatureView> views;
  for (const test::Signatures& part : parts) views.push_back(part.view());
  const Searcher one({images.view()}, kDim);
  const Searcher many(views, kDim);
  const test::Signatures queries = make_images(13);
  for (const std::size_t k : {1U, 2U, 20U, 499U, 1500U, 1777U}) {
    for (const double epsilon : {0.0, 0.5, 0.9, 1.7, 2.0, 1e300}) {
      for (const bool drop : {false, true}) {
        const Found expected = reference(images.view(), queries.view(), {k, epsilon, drop, 1});
        for (const int threads : {1, 2, 7}) {
          for (const Screening screening : {Screening::never, Screening::always}) {
            const SearchOptions options{k, epsilon, drop, threads, screening};
            CHECK(search(one, queries.view(), options) == expected);
            CHECK(search(many, queries.view(), options) == expected);
          }
        }
      }
    }
  }
}

void test_levels_and_batches() {
  const test::Signatures images = make_images(600);
  const test::Signatures queries = make_images(37);
  const Searcher searcher({images.view()}, kDim);
  SearchOptions options{25, 0.9, false, 2};
  const Found expected = reference(images.view(), queries.view(), options);
  for (const semcbir::SimdLevel level : semcbir::simd_levels()) {
    semcbir::set_simd_level(semcbir::simd_name(level));
    for (const Screening screening : {Screening::never, Screening::always}) {
      options.screening = screening;
      CHECK(search(searcher, queries.view(), options) == expected);
      for (std::size_t q = 0; q < 37; ++q) {
        SignatureView one = queries.view();
        one.images = 1;
        one.offsets += q;
        const Found found = search(searcher, one, options);
        CHECK(std::equal(found.ids.begin(), found.ids.end(),
                         expected.ids.begin() + static_cast<std::ptrdiff_t>(q * 25)));
        CHECK(found.kept[0] == expected.kept[q]);
      }
    }
  }
}

/// Threads that find screens missing, in the making, or there.
void test_searches_at_the_same_time() {
  const test::Signatures images = make_images(1500);
  const test::Signatures queries = make_images(20);
  const SearchOptions options{20, 0.9, false, 2, Screening::always};
  const Found expected = reference(images.view(), queries.view(), options);
  const Searcher searcher({images.view()}, kDim);
  std::vector<std::thread> threads;
  std::vector<int> same(4, 0);
  for (std::size_t t = 0; t < same.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int again = 0; again < 3; ++again) {
        same[t] += search(searcher, queries.view(), options) == expected ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(same == std::vector<int>(4, 3));
  CHECK(searcher.screen_bytes() > 0);
}

/// What one of several searchers gives, so that their answers can be put together.
void test_squared_and_smallest_distances() {
  const test::Signatures images = make_images(1200);
  const Searcher searcher({images.view()}, kDim);
  const test::Signatures queries = make_images(9);
  const std::size_t k = 1300;
  for (const Screening screening : {Screening::never, Screening::always}) {
    Found found(9, k);
    std::vector<double> squared(9 * k, -1.0);
    SearchOptions options{k, 0.9, false, 2, screening};
    searcher.search(queries.view(), options,
                    {found.ids.data(), found.distances.data(), found.histogram_distances.data(),
                     found.kept.data(), nullptr, squared.data()});
    CHECK(found == search(searcher, queries.view(), options));
    for (std::size_t i = 0; i < squared.size(); ++i) {
      CHECK(static_cast<float>(std::sqrt(squared[i])) == found.distances[i]);
    }
  }
  for (const std::size_t m : {1U, 7U, 1200U, 1300U}) {
    std::vector<double> smallest(9 * m);
    std::vector<double> epsilons(9);
    searcher.smallest_histogram_distances(queries.view(), m, nullptr, 2, smallest.data());
    searcher.nearest_epsilons(queries.view(), m, nullptr, 2, epsilons.data());
    for (std::size_t q = 0; q < 9; ++q) {
      const double* row = smallest.data() + q * m;
      const std::size_t n = std::min(m, searcher.size());
      CHECK(std::is_sorted(row, row + m));
      CHECK(row[n - 1] == epsilons[q]);
      CHECK(std::count(row, row + m, std::numeric_limits<double>::infinity()) ==
            static_cast<std::ptrdiff_t>(m - n));
    }
  }
}

void test_damaged_values() {
  test::Signatures images = make_images(40);
  const test::Signatures queries = make_images(40);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  images.centroids[3] = nan;
  images.proportions[20] = nan;
  images.centroids[900] = kInf;
  const Searcher searcher({images.view()}, kDim);
  for (const double epsilon : {0.9, 2.0}) {
    const Found found = search(searcher, queries.view(), {50, epsilon, false, 2});
    CHECK(search(searcher, queries.view(), {50, epsilon, false, 2, Screening::always}) == found);
    for (std::size_t q = 0; q < 40; ++q) {
      const std::int64_t* ids = found.ids.data() + q * 50;
      const auto missing = std::count(ids, ids + 50, -1);
      CHECK(missing == 50 - static_cast<std::ptrdiff_t>(searcher.size()));
      CHECK(std::none_of(found.distances.begin(), found.distances.end(),
                         [](float d) { return std::isnan(d); }));
      CHECK(found.kept[q] <= static_cast<std::int64_t>(searcher.size()));
    }
  }
}

void test_nothing_to_find() {
  const test::Signatures queries = make_images(3);
  const Found found = search(Searcher({}, kDim), queries.view(), {2, 0.9, false, 2});
  CHECK(std::all_of(found.ids.begin(), found.ids.end(), [](std::int64_t id) { return id == -1; }));
  CHECK(std::all_of(found.distances.begin(), found.distances.end(), [](float d) { return d == kInf; }));
  CHECK(found.kept == std::vector<std::int64_t>(3, 0));
  const Searcher searcher({queries.view()}, kDim);
  CHECK(searcher.size() == 3 && searcher.dim() == kDim);
  CHECK(search(searcher, test::Signatures{}.view(), {2, 0.9, false, 2}).ids.empty());
}

void test_bad_input() {
  const test::Signatures images = make_images(3);
  const Searcher searcher({images.view()}, kDim);
  using Bad = std::invalid_argument;
  const auto fails = [&](const SearchOptions& options, const std::string& text) {
    return test::throws<Bad>([&] { search(searcher, images.view(), options); }, text);
  };
  CHECK(fails({0, 0.9, false, 1}, "k: expected at least 1, got 0"));
  CHECK(fails({1, -0.1, false, 1}, "epsilon: expected at least 0, got -0.1"));
  CHECK(fails({1, std::nan(""), false, 1}, "epsilon"));
  CHECK(fails({1, 0.9, false, 0}, "threads: expected 1 to 1024, got 0"));
  CHECK(test::throws<Bad>([] { Searcher({}, 0); }, "dim: expected at least 1, got 0"));
}

void test_top_k() {
  test::Random random(1);
  for (const std::size_t k : {1U, 3U, 64U, 1000U, 5000U}) {
    semcbir::TopK top(k);
    std::vector<semcbir::Candidate> all;
    for (std::int64_t id = 0; id < 3000; ++id) {
      all.push_back({random.below(2) == 0, random.below(50) * 0.5, id, 0.0});
      top.offer(all.back());
    }
    std::sort(all.begin(), all.end());
    all.resize(std::min<std::size_t>(k, all.size()), {});
    const std::vector<semcbir::Candidate> got = top.take();
    const auto same = [](const auto& a, const auto& b) { return a.id == b.id && a.squared == b.squared; };
    CHECK(std::equal(got.begin(), got.end(), all.begin(), all.end(), same));
    CHECK(top.take().empty());
  }
}

}  // namespace

int main() {
  test_top_k();
  test_against_reference();
  test_levels_and_batches();
  test_searches_at_the_same_time();
  test_squared_and_smallest_distances();
  test_damaged_values();
  test_nothing_to_find();
  test_bad_input();
  return test::result();
}
