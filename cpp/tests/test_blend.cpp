// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "random_signatures.hpp"
#include "semcbir/blend.hpp"
#include "semcbir/interruption.hpp"

namespace {

using semcbir::BlendInput;
using semcbir::CountedView;
using Bad = std::invalid_argument;

constexpr std::size_t kDim = 7;
constexpr std::size_t kClasses = 12;

struct Columns {
  std::vector<std::int64_t> offsets;
  std::vector<std::uint16_t> classes;
  std::vector<float> proportions;
  std::vector<std::uint32_t> counts;
  std::vector<float> centroids;

  semcbir::SignatureColumns view() {
    return {offsets.data(), classes.data(), proportions.data(), counts.data(), centroids.data()};
  }
};

Columns blended(const BlendInput& input, int threads) {
  Columns made;
  made.offsets.resize(input.images.view.images + 1);
  semcbir::blend_offsets(input, threads, made.offsets.data());
  const auto rows = static_cast<std::size_t>(made.offsets.back());
  made.classes.resize(rows);
  made.proportions.resize(rows);
  made.counts.resize(rows);
  made.centroids.resize(rows * input.dim);
  semcbir::blend(input, threads, made.view());
  return made;
}

/// The rows of one image by class, dense and in double: proportion, count, centroid.
using Dense = std::map<std::uint16_t, std::vector<double>>;

void add(const CountedView& from, std::size_t image, double weight, Dense& to) {
  for (auto r = static_cast<std::size_t>(from.view.offsets[image]);
       r < static_cast<std::size_t>(from.view.offsets[image + 1]); ++r) {
    std::vector<double>& row = to[from.view.classes[r]];
    row.resize(2 + kDim);
    row[0] += weight * static_cast<double>(from.view.proportions[r]);
    row[1] += static_cast<double>(from.counts[r]);
    for (std::size_t d = 0; d < kDim; ++d) {
      row[2 + d] += weight * static_cast<double>(from.view.centroids[r * kDim + d]);
    }
  }
}

void check_image(const BlendInput& input, std::size_t image, const Columns& got) {
  Dense expected;
  double total = 0.0;
  for (std::size_t rank = 0; rank <= input.width; ++rank) {
    const std::int64_t at = rank == 0 ? 0 : input.neighbours[image * input.width + rank - 1];
    if (at < 0) break;
    const auto weight = static_cast<double>(input.k + 1 - rank);
    total += weight;
    if (rank == 0) {
      add(input.images, image, weight, expected);
    } else {
      add(input.collection, static_cast<std::size_t>(at), weight, expected);
    }
  }
  auto row = static_cast<std::size_t>(got.offsets[image]);
  CHECK(static_cast<std::size_t>(got.offsets[image + 1]) == row + expected.size());
  for (const auto& [label, values] : expected) {
    CHECK(got.classes[row] == label);
    CHECK(test::same_bits(got.proportions[row], static_cast<float>(values[0] / total)));
    CHECK(static_cast<double>(got.counts[row]) ==
          std::min(values[1], static_cast<double>(std::numeric_limits<std::uint32_t>::max())));
    for (std::size_t d = 0; d < kDim; ++d) {
      CHECK(test::same_bits(got.centroids[row * kDim + d], static_cast<float>(values[2 + d] / total)));
    }
    ++row;
  }
}

/// Images, a collection and random neighbours in memory of exactly their size.
struct Case {
  test::Signatures images;
  test::Signatures collection = test::random_signatures(2, 30, kClasses, kDim);
  std::vector<std::uint32_t> counts_of_images;
  std::vector<std::uint32_t> counts_of_collection =
      std::vector<std::uint32_t>(collection.classes.size(), std::numeric_limits<std::uint32_t>::max() / 3);
  std::vector<std::int64_t> neighbours;

  explicit Case(std::size_t width, std::size_t n = 40)
      : images(test::random_signatures(1, n, kClasses, kDim)), counts_of_images(images.classes.size(), 3) {
    test::Random random(3);
    for (std::size_t i = 0; i < images.ids.size(); ++i) {
      const std::size_t there = random.below(static_cast<std::uint32_t>(width) + 1);
      for (std::size_t r = 0; r < width; ++r) {
        neighbours.push_back(r < there ? static_cast<std::int64_t>(random.below(30)) : -1);
      }
    }
  }

  BlendInput input(std::size_t width, std::size_t k) const {
    return {{images.view(), counts_of_images.data()},
            {collection.view(), counts_of_collection.data()},
            neighbours.data(),
            width,
            k,
            kDim,
            false};
  }
};

void test_weighted_means() {
  for (const std::size_t width : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{40}}) {
    const Case one(width);
    for (const std::size_t k : {width, width + 3}) {
      const BlendInput input = one.input(width, k);
      const Columns got = blended(input, 1);
      for (std::size_t i = 0; i < one.images.ids.size(); ++i) check_image(input, i, got);
      for (const int threads : {2, 7}) {
        const Columns again = blended(input, threads);
        CHECK(again.offsets == got.offsets && again.classes == got.classes && again.counts == got.counts);
        CHECK(again.proportions == got.proportions && again.centroids == got.centroids);
      }
    }
  }
}

void test_own_proportions() {
  const Case one(5);
  BlendInput input = one.input(5, 5);
  const Columns averaged = blended(input, 1);
  input.own_proportions = true;
  const Columns own = blended(input, 1);
  CHECK(own.classes == averaged.classes && own.centroids == averaged.centroids);
  for (std::size_t i = 0; i < one.images.ids.size(); ++i) {
    std::map<std::uint16_t, float> shares;
    for (auto r = static_cast<std::size_t>(one.images.offsets[i]);
         r < static_cast<std::size_t>(one.images.offsets[i + 1]); ++r) {
      shares[one.images.classes[r]] = one.images.proportions[r];
    }
    for (auto r = static_cast<std::size_t>(own.offsets[i]); r < static_cast<std::size_t>(own.offsets[i + 1]);
         ++r) {
      const auto share = shares.find(own.classes[r]);
      CHECK(test::same_bits(own.proportions[r], share == shares.end() ? 0.0F : share->second));
    }
  }
}

void test_bad_input() {
  Case one(3);
  CHECK(test::throws<Bad>([&] { blended(one.input(3, 2), 1); }, "expected at most k = 2, got 3"));
  CHECK(test::throws<Bad>([&] { blended(one.input(3, 3), 0); }, "threads"));
  one.neighbours[7] = 30;
  CHECK(test::throws<Bad>([&] { blended(one.input(3, 3), 1); }, "expected positions below 30, got 30"));
}

/// It asks after a while only, so this is long work.
void test_stopping() {
  const Case one(1000, 2000);
  const BlendInput input = one.input(1000, 1000);
  const auto yes = [] { return true; };
  Columns made;
  made.offsets.resize(one.images.ids.size() + 1);
  CHECK(test::throws<semcbir::InterruptedError>(
      [&] { semcbir::blend_offsets(input, 2, made.offsets.data(), yes); }, "interrupted"));
  semcbir::blend_offsets(input, 2, made.offsets.data());
  const auto rows = static_cast<std::size_t>(made.offsets.back());
  made.classes.resize(rows);
  made.proportions.resize(rows);
  made.counts.resize(rows);
  made.centroids.resize(rows * kDim);
  CHECK(test::throws<semcbir::InterruptedError>([&] { semcbir::blend(input, 2, made.view(), yes); },
                                                "interrupted"));
}

}  // namespace

int main() {
  test_weighted_means();
  test_own_proportions();
  test_bad_input();
  test_stopping();
  return test::result();
}
