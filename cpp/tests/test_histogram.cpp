// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "random_signatures.hpp"
#include "reference.hpp"
#include "semcbir/histogram.hpp"
#include "semcbir/signature_view.hpp"

namespace {

void test_by_hand() {
  const std::vector<std::uint16_t> a{1, 4};
  const std::vector<std::uint16_t> b{4, 9};
  const std::vector<float> p{0.25F, 0.75F};
  const std::vector<float> r{0.5F, 0.5F};
  const semcbir::ImageRows q{2, a.data(), p.data(), nullptr};
  const semcbir::ImageRows x{2, b.data(), r.data(), nullptr};
  const semcbir::ImageRows none{};
  CHECK(semcbir::histogram_distance(q, x) == 1.0);
  CHECK(semcbir::histogram_distance(x, q) == 1.0);
  CHECK(test::same_bits(semcbir::histogram_distance(q, q), 0.0));
  CHECK(semcbir::histogram_distance(q, none) == 1.0);
  CHECK(semcbir::histogram_distance(none, none) == 0.0);
}

void test_many_at_once() {
  const test::Signatures q = test::random_signatures(1, 3, 20, 1);
  const test::Signatures x = test::random_signatures(2, 5003, 20, 1);
  for (const int threads : {1, 2, 7}) {
    std::vector<double> out(3 * 5003, -1.0);
    semcbir::histogram_distances(q.view(), x.view(), out.data(), threads);
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t j = 0; j < 5003; ++j) {
        const double expected =
            test::reference_histogram_distance(image_rows(q.view(), i, 1), image_rows(x.view(), j, 1));
        CHECK(test::same_bits(out[i * 5003 + j], expected));
      }
    }
  }
  semcbir::histogram_distances(q.view(), test::Signatures{}.view(), nullptr, 2);
}

void test_check_rows() {
  const auto check = [](std::vector<std::int64_t> offsets, std::vector<std::uint16_t> classes,
                        std::size_t n_classes = semcbir::kMaxClasses) {
    semcbir::SignatureView view;
    view.images = offsets.size() - 1;
    view.offsets = offsets.data();
    view.classes = classes.data();
    semcbir::check_rows(view, classes.size(), n_classes);
  };
  using Bad = std::invalid_argument;
  check({0, 2, 2, 3}, {1, 2, 0});
  check({0}, {});
  CHECK(test::throws<Bad>([&] { check({1, 2}, {1, 2}); }, "expected to start at 0, got 1"));
  CHECK(test::throws<Bad>([&] { check({0, 2, 1}, {1}); }, "got 2 then 1 for image 1"));
  CHECK(test::throws<Bad>([&] { check({0, 1}, {1, 2}); }, "number of rows, 2, got 1"));
  CHECK(test::throws<Bad>([&] { check({0, 3}, {1, 2}); }, "number of rows, 2, got 3"));
  CHECK(test::throws<Bad>([&] { check({0, -1}, {}); }, "got 0 then -1"));
  CHECK(test::throws<Bad>([&] { check({0, 1, 3}, {5, 2, 2}); }, "got 2 then 2 in image 1"));
  check({0, 2, 2, 3}, {1, 2, 0}, 3);
  CHECK(test::throws<Bad>([&] { check({0, 0, 2}, {1, 3}, 3); }, "below n_classes=3, got 3 in image 1"));
}

}  // namespace

int main() {
  test_by_hand();
  test_many_at_once();
  test_check_rows();
  return test::result();
}
