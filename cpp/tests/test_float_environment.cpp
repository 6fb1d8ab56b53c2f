// SPDX-License-Identifier: MIT
// The caller's floating-point environment (rounding, numbers flushed to zero) must neither reach the results
// nor be changed.
#include <cfenv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "check.hpp"
#include "float_environment.hpp"
#include "random_signatures.hpp"
#include "semcbir/histogram.hpp"
#include "semcbir/parallel.hpp"
#include "semcbir/searcher.hpp"
#include "semcbir/signature.hpp"

#if defined(SEMCBIR_MXCSR)
#include <xmmintrin.h>
#endif

namespace {

constexpr std::size_t kDim = 5;
constexpr std::size_t kImages = 700;

/// Everything that the core computes, from numbers so small that many are denormal.
struct Results {
  std::vector<std::int64_t> ids = std::vector<std::int64_t>(kImages * 3);
  std::vector<float> distances = std::vector<float>(kImages * 3);
  std::vector<float> histogram_distances = std::vector<float>(kImages * 3);
  std::vector<std::int64_t> kept = std::vector<std::int64_t>(kImages);
  std::vector<double> all_histogram_distances = std::vector<double>(kImages * kImages);
  std::vector<float> centroids;

  bool operator==(const Results& other) const {
    return ids == other.ids && distances == other.distances &&
           histogram_distances == other.histogram_distances && kept == other.kept &&
           all_histogram_distances == other.all_histogram_distances && centroids == other.centroids;
  }
};

test::Signatures small_signatures() {
  test::Signatures images = test::random_signatures(3, kImages, 7, kDim);
  for (float& value : images.centroids) value *= 1e-38F;
  for (std::size_t row = 0; row < images.proportions.size(); row += 2) images.proportions[row] *= 1e-38F;
  return images;
}

std::vector<float> build(int threads) {
  const std::vector<std::uint8_t> labels{0, 0, 1, 1};
  const std::vector<float> keypoints{0.0F, 0.0F, 1.0F, 0.0F, 0.0F, 0.0F};
  const std::vector<float> descriptors{1e-40F, 0.1F, 0.7F, 1.0F, 3e-39F, 1e-45F};
  const semcbir::LabelledImage image{labels.data(), 2, 2, keypoints.data(), descriptors.data(), 3};
  std::vector<float> centroids;
  for (const semcbir::ImageSignature& one :
       semcbir::build_signatures(std::vector<semcbir::LabelledImage>(40, image), {2, -1, 2}, threads)) {
    centroids.insert(centroids.end(), one.centroids.begin(), one.centroids.end());
  }
  const semcbir::ImageSignature one = semcbir::build_signature(image, {2, -1, 2});
  centroids.insert(centroids.end(), one.centroids.begin(), one.centroids.end());
  return centroids;
}

Results compute(const test::Signatures& images, int threads) {
  Results results;
  semcbir::Searcher({images.view()}, kDim)
      .search(images.view(), {3, 0.9, false, threads},
              {results.ids.data(), results.distances.data(), results.histogram_distances.data(),
               results.kept.data()});
  semcbir::histogram_distances(images.view(), images.view(), results.all_histogram_distances.data(), threads);
  results.centroids = build(threads);
  return results;
}

void test_rounding(const test::Signatures& images, const Results& expected) {
  for (const int rounding : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    for (const int threads : {1, 2, 7}) {
      std::fesetround(rounding);
      const Results found = compute(images, threads);
      CHECK(std::fegetround() == rounding);
      std::fesetround(FE_TONEAREST);
      CHECK_IN(found == expected, std::to_string(rounding) + " " + std::to_string(threads));
    }
  }
}

void test_flush_to_zero(const test::Signatures& images, const Results& expected) {
#if defined(SEMCBIR_MXCSR)
  constexpr unsigned flush = 0x8040;  // results flushed to zero, and denormal operands taken for zero
  const unsigned before = _mm_getcsr();
  for (const int threads : {1, 2, 7}) {
    _mm_setcsr(before | flush);
    const Results found = compute(images, threads);
    CHECK((_mm_getcsr() & flush) == flush);
    _mm_setcsr(before);
    CHECK_IN(found == expected, std::to_string(threads));
  }
#else
  static_cast<void>(images);
  static_cast<void>(expected);
#endif
}

/// Threads of a pool keep the environment that they were started with.
void test_workers_started_by_such_a_caller(const test::Signatures& images, const Results& expected) {
  std::fesetround(FE_UPWARD);
  semcbir::parallel_for(100, 9, [](std::size_t) {});
  std::fesetround(FE_TONEAREST);
  CHECK(compute(images, 9) == expected);
}

}  // namespace

int main() {
  const test::Signatures images = small_signatures();
  const Results expected = compute(images, 1);
  test_rounding(images, expected);
  test_flush_to_zero(images, expected);
  test_workers_started_by_such_a_caller(images, expected);
  return test::result();
}
