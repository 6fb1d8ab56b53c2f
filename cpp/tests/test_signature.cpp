// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "label_counts.hpp"
#include "random_signatures.hpp"
#include "semcbir/signature.hpp"

namespace {

using semcbir::build_signature;
using semcbir::ImageSignature;
using semcbir::LabelledImage;
using semcbir::SignatureSpec;
using Bad = std::invalid_argument;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// An image and the memory that it lies in.
template <class Label>
struct Image {
  std::size_t height;
  std::size_t width;
  std::vector<Label> labels;
  std::vector<float> keypoints;
  std::vector<float> descriptors;

  LabelledImage view() const {
    return {labels.data(), height, width, keypoints.data(), descriptors.data(), keypoints.size() / 2};
  }
};

/// Runs of equal labels, or noise where `run` is 1.
template <class Label>
Image<Label> random_image(std::uint32_t seed, std::size_t height, std::size_t width, std::uint32_t n_classes,
                          std::uint32_t run, std::size_t dim) {
  test::Random random(seed);
  Image<Label> image{height, width, {}, {}, {}};
  Label label = 0;
  for (std::size_t i = 0; i < height * width; ++i) {
    if (random.below(run) == 0) label = static_cast<Label>(random.below(n_classes));
    image.labels.push_back(label);
  }
  for (int i = 0; i < 60; ++i) {
    image.keypoints.push_back((random.real() + 1.0F) * 0.55F * static_cast<float>(width) - 2.0F);
    image.keypoints.push_back((random.real() + 1.0F) * 0.55F * static_cast<float>(height) - 2.0F);
    for (std::size_t d = 0; d < dim; ++d) image.descriptors.push_back(random.real());
  }
  return image;
}

/// Algorithm 1, class by class, on dense matrices.
template <class Label>
void check_against_algorithm_1(const Image<Label>& image, const SignatureSpec& spec) {
  const ImageSignature got = build_signature(image.view(), spec);
  const auto clamp = [](double v, std::size_t size) {
    return static_cast<std::size_t>(std::fmin(std::fmax(v, 0.0), static_cast<double>(size) - 1.0));
  };
  std::size_t row = 0;
  std::size_t labelled = 0;
  for (const Label label : image.labels) labelled += static_cast<std::int32_t>(label) != spec.void_label;
  for (std::size_t c = 0; c < spec.n_classes; ++c) {
    if (static_cast<std::int32_t>(c) == spec.void_label) continue;
    std::size_t pixels = 0;
    for (const Label label : image.labels) pixels += label == c;
    if (pixels == 0) continue;
    std::vector<double> mean(spec.dim);
    std::uint32_t count = 0;
    for (std::size_t i = 0; i < image.keypoints.size() / 2; ++i) {
      const std::size_t x = clamp(std::floor(static_cast<double>(image.keypoints[2 * i]) + 0.5), image.width);
      const std::size_t y =
          clamp(std::floor(static_cast<double>(image.keypoints[2 * i + 1]) + 0.5), image.height);
      if (image.labels[y * image.width + x] != c) continue;
      ++count;
      for (std::size_t d = 0; d < spec.dim; ++d)
        mean[d] += static_cast<double>(image.descriptors[i * spec.dim + d]);
    }
    CHECK(row < got.classes.size() && got.classes[row] == c && got.counts[row] == count);
    CHECK(got.proportions[row] ==
          static_cast<float>(static_cast<double>(pixels) / static_cast<double>(labelled)));
    for (std::size_t d = 0; d < spec.dim; ++d) {
      const float expected = count == 0 ? 0.0F : static_cast<float>(mean[d] / count);
      CHECK(test::same_bits(got.centroids[row * spec.dim + d], expected));
    }
    ++row;
  }
  CHECK(row == got.classes.size());
}

void test_algorithm_1() {
  std::uint32_t seed = 0;
  for (const std::uint32_t run : {1U, 5U, 200U}) {
    for (const std::size_t dim : {1U, 7U, 64U}) {
      check_against_algorithm_1(random_image<std::uint8_t>(++seed, 13, 29, 9, run, dim), {9, -1, dim});
      check_against_algorithm_1(random_image<std::uint16_t>(++seed, 29, 13, 9, run, dim), {9, 4, dim});
      check_against_algorithm_1(random_image<std::uint16_t>(++seed, 7, 7, 65536, run, dim),
                                {65536, 65535, dim});
      check_against_algorithm_1(random_image<std::uint8_t>(++seed, 1, 1, 256, run, dim), {256, -1, dim});
    }
  }
}

template <class Label>
void test_label_counts(std::uint32_t n_classes) {
  for (const std::uint32_t run : {1U, 3U, 100U}) {
    for (std::size_t n = 0; n < 40; ++n) {
      const auto labels = random_image<Label>(run, 1, n, n_classes, run, 1).labels;
      std::map<std::size_t, std::uint64_t> expected;
      for (const Label label : labels) ++expected[label];
      const std::vector<std::uint64_t> got = semcbir::count_labels(labels.data(), n);
      CHECK(got.size() >= (n == 0 ? 0 : expected.rbegin()->first + 1));
      for (std::size_t label = 0; label < got.size(); ++label) CHECK(got[label] == expected[label]);
    }
  }
}

void test_pixel_of_a_keypoint() {
  const Image<std::uint8_t> four{2, 2, {0, 1, 2, 3}, {}, {1.0F}};
  const auto class_at = [&](float x, float y) {
    Image<std::uint8_t> image = four;
    image.keypoints = {x, y};
    const ImageSignature got = build_signature(image.view(), {4, -1, 1});
    int found = -1;
    for (std::size_t row = 0; row < 4; ++row) found = got.counts[row] == 1 ? got.classes[row] : found;
    return found;
  };
  CHECK(class_at(0.0F, 0.0F) == 0);
  CHECK(class_at(0.49F, 0.0F) == 0);
  CHECK(class_at(0.5F, 0.0F) == 1);
  CHECK(class_at(0.0F, 0.5F) == 2);
  CHECK(class_at(0.5F, 0.5F) == 3);
  CHECK(class_at(-0.5F, -7.0F) == 0);
  CHECK(class_at(1e30F, 1.0F) == 3);
  CHECK(class_at(-1e30F, 1e30F) == 2);
  // Added in float, this would come to 1.
  CHECK(class_at(std::nextafter(0.5F, 0.0F), 0.0F) == 0);
}

void test_all_void() {
  const Image<std::uint8_t> image{1, 2, {255, 255}, {0.0F, 0.0F}, {1.0F}};
  const ImageSignature got = build_signature(image.view(), {3, 255, 1});
  CHECK(got.classes.empty() && got.proportions.empty() && got.counts.empty() && got.centroids.empty());
}

void test_bad_input() {
  const Image<std::uint8_t> good{1, 2, {0, 2}, {0.0F, 0.0F, 1.0F, 0.0F}, {1.0F, 2.0F, 3.0F, 4.0F}};
  const SignatureSpec spec{3, -1, 2};
  const auto fails = [&](const Image<std::uint8_t>& image, const SignatureSpec& with,
                         const std::string& text) {
    return test::throws<Bad>([&] { build_signature(image.view(), with); }, text);
  };
  CHECK(build_signature(good.view(), spec).classes.size() == 2);
  CHECK(fails(good, {2, -1, 2}, "label map: expected labels below n_classes = 2, got 2"));
  CHECK(fails(good, {2, 9, 2}, "below n_classes = 2 or void = 9, got 2"));
  CHECK(fails(good, {0, -1, 2}, "n_classes: expected 1 to 65536, got 0"));
  CHECK(fails(good, {65537, -1, 2}, "n_classes"));
  CHECK(fails(good, {3, -2, 2}, "void: expected -1 (none) to 65535, got -2"));
  CHECK(fails(good, {3, 65536, 2}, "void"));
  CHECK(fails(good, {3, -1, 0}, "dim: expected at least 1, got 0"));
  CHECK(fails({0, 5, {}, {}, {}}, spec, "expected at least one pixel, got 0 x 5"));
  for (const float bad :
       {kNan, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    Image<std::uint8_t> image = good;
    image.keypoints[3] = bad;
    CHECK(fails(image, spec, "for keypoint 1"));
    image = good;
    image.descriptors[3] = bad;
    CHECK(fails(image, spec, "for keypoint 1"));
    CHECK(fails(image, {3, 2, 2}, "for keypoint 1"));  // on a void pixel
  }
  Image<std::uint8_t> huge = good;
  huge.descriptors.assign(4, std::numeric_limits<float>::max());
  huge.keypoints = {0.0F, 0.0F, 0.0F, 0.0F};
  CHECK(build_signature(huge.view(), spec).centroids[0] == std::numeric_limits<float>::max());
}

void test_batch() {
  std::vector<Image<std::uint8_t>> images;
  std::vector<LabelledImage> views;
  for (std::uint32_t i = 0; i < 23; ++i) images.push_back(random_image<std::uint8_t>(i, 9, 11, 5, 4, 8));
  for (const Image<std::uint8_t>& image : images) views.push_back(image.view());
  const SignatureSpec spec{5, 2, 8};
  for (const int threads : {1, 2, 7}) {
    const std::vector<ImageSignature> got = semcbir::build_signatures(views, spec, threads);
    const std::size_t rows = semcbir::count_rows(got);
    std::vector<std::int64_t> offsets(views.size() + 1);
    std::vector<std::uint16_t> classes(rows);
    std::vector<float> proportions(rows);
    std::vector<std::uint32_t> counts(rows);
    std::vector<float> centroids(rows * 8);
    semcbir::write_columns(
        got, {offsets.data(), classes.data(), proportions.data(), counts.data(), centroids.data()});
    CHECK(offsets[0] == 0 && offsets.back() == static_cast<std::int64_t>(rows));
    for (std::size_t i = 0; i < views.size(); ++i) {
      const ImageSignature one = build_signature(views[i], spec);
      const std::vector<float> part(centroids.begin() + 8 * offsets[i],
                                    centroids.begin() + 8 * offsets[i + 1]);
      CHECK(part == one.centroids);
      CHECK(got[i].classes == one.classes && got[i].counts == one.counts &&
            got[i].proportions == one.proportions);
    }
  }
  images[7].labels[3] = 9;
  images[19].labels[0] = 9;
  CHECK(test::throws<Bad>([&] { semcbir::build_signatures(views, spec, 7); }, "image 7: label map"));
}

}  // namespace

int main() {
  test_algorithm_1();
  test_label_counts<std::uint8_t>(256);
  test_label_counts<std::uint16_t>(65536);
  test_pixel_of_a_keypoint();
  test_all_void();
  test_bad_input();
  test_batch();
  return test::result();
}
