// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "random_signatures.hpp"
#include "semcbir/grid.hpp"
#include "semcbir/signature.hpp"

namespace {

using semcbir::build_grid_signature;
using semcbir::GridImage;
using semcbir::GridSpec;
using semcbir::ImageSignature;
using Bad = std::invalid_argument;

/// An image and the memory that it lies in.
template <class Label>
struct Image {
  std::size_t height;
  std::size_t width;
  std::size_t grid_height;
  std::size_t grid_width;
  std::vector<Label> labels;
  std::vector<float> cells;
  std::vector<std::int32_t> rows;
  std::vector<std::int32_t> columns;

  GridImage view() const {
    return {labels.data(), height, width, cells.data(), grid_height, grid_width, rows.data(), columns.data()};
  }
};

template <class Label>
Image<Label> random_image(std::uint32_t seed, std::size_t height, std::size_t width, std::size_t grid_height,
                          std::size_t grid_width, std::uint32_t n_classes, std::size_t dim) {
  test::Random random(seed);
  Image<Label> image{height, width, grid_height, grid_width, {}, {}, {}, {}};
  Label label = 0;
  for (std::size_t i = 0; i < height * width; ++i) {
    if (random.below(4) == 0) label = static_cast<Label>(random.below(n_classes));
    image.labels.push_back(label);
  }
  for (std::size_t i = 0; i < grid_height * grid_width * dim; ++i) image.cells.push_back(random.wide());
  // In order, or as they come.
  for (std::size_t y = 0; y < height; ++y) {
    const std::size_t row =
        seed % 2 == 0 ? y * grid_height / height : random.below(static_cast<std::uint32_t>(grid_height));
    image.rows.push_back(static_cast<std::int32_t>(row));
  }
  for (std::size_t x = 0; x < width; ++x) {
    const std::size_t column =
        seed % 2 == 0 ? x * grid_width / width : random.below(static_cast<std::uint32_t>(grid_width));
    image.columns.push_back(static_cast<std::int32_t>(column));
  }
  return image;
}

/// Class by class and cell by cell; class C with one pixel in each used cell is the whole row.
template <class Label>
void check_against_definition(const Image<Label>& image, const GridSpec& spec) {
  const ImageSignature got = build_grid_signature(image.view(), spec);
  const std::size_t n_classes = spec.signature.n_classes;
  const std::size_t dim = spec.signature.dim;
  const std::size_t n_cells = image.grid_height * image.grid_width;
  std::size_t row = 0;
  for (std::size_t c = 0; c <= n_classes; ++c) {
    if (static_cast<std::int32_t>(c) == spec.signature.void_label && c < n_classes) continue;
    const bool whole = c == n_classes;
    if (whole && !spec.whole) continue;
    std::vector<double> pixels(n_cells);
    std::size_t count = 0;
    for (std::size_t i = 0; i < image.labels.size(); ++i) {
      const auto cell = static_cast<std::size_t>(image.rows[i / image.width]) * image.grid_width +
                        static_cast<std::size_t>(image.columns[i % image.width]);
      if (!whole && image.labels[i] != c) continue;
      pixels[cell] = whole ? 1.0 : pixels[cell] + 1.0;
      ++count;
    }
    if (count == 0) continue;
    const std::string context = "class " + std::to_string(c);
    CHECK_IN(row < got.classes.size(), context);
    if (row >= got.classes.size()) return;
    CHECK_IN(got.classes[row] == c, context);
    CHECK_IN(got.counts[row] == count, context);
    CHECK_IN((got.proportions[row] == 0.0F) == whole, context);
    for (std::size_t d = 0; d < dim; ++d) {
      double sum = 0.0;
      double weights = 0.0;
      for (std::size_t cell = 0; cell < n_cells; ++cell) {
        sum += pixels[cell] * static_cast<double>(image.cells[cell * dim + d]);
        weights += pixels[cell];
      }
      CHECK_IN(test::same_bits(got.centroids[row * dim + d], static_cast<float>(sum / weights)), context);
    }
    ++row;
  }
  CHECK(row == got.classes.size());
  CHECK(got.centroids.size() == row * dim);
}

void test_sizes() {
  std::uint32_t seed = 0;
  for (const std::size_t side : {1U, 2U, 7U, 33U}) {
    for (const std::size_t cells : {1U, 3U, 7U, 40U}) {
      for (const std::size_t dim : {1U, 5U, 16U, 33U}) {
        const bool whole = seed % 3 != 0;
        const std::int32_t void_label = seed % 4 == 0 ? 2 : -1;
        check_against_definition(random_image<std::uint8_t>(++seed, side, side + 2, cells, cells + 1, 5, dim),
                                 {{5, void_label, dim}, whole});
        check_against_definition(
            random_image<std::uint16_t>(++seed, side + 1, side, cells + 2, cells, 9, dim),
            {{9, void_label, dim}, whole});
      }
    }
  }
}

void test_threads() {
  std::vector<Image<std::uint8_t>> images;
  std::vector<GridImage> views;
  for (std::uint32_t i = 0; i < 30; ++i)
    images.push_back(random_image<std::uint8_t>(i, 9 + i, 20, 4, 3, 5, 17));
  for (const auto& image : images) views.push_back(image.view());
  const GridSpec spec{{5, 1, 17}, true};
  const auto one = semcbir::build_grid_signatures(views, spec, 1);
  for (const int threads : {2, 7}) {
    const auto many = semcbir::build_grid_signatures(views, spec, threads);
    for (std::size_t i = 0; i < one.size(); ++i) {
      CHECK(one[i].classes == many[i].classes);
      CHECK(one[i].centroids == many[i].centroids);
    }
  }
}

void test_bad_input() {
  auto image = random_image<std::uint8_t>(2, 4, 5, 2, 3, 5, 3);
  const GridSpec spec{{5, -1, 3}, true};
  const auto message = [&](const std::string& text) {
    return test::throws<Bad>([&] { build_grid_signature(image.view(), spec); }, text);
  };
  const auto good = image;
  image.cells[10] = std::numeric_limits<float>::infinity();
  CHECK(message("cells: expected finite values, got inf in row 1, column 0"));
  image = good;
  image.rows[3] = 2;
  CHECK(message("rows: expected 0 to 1 in a grid of 2, got 2 for pixel 3"));
  image.rows[3] = -1;
  CHECK(message("rows: expected 0 to 1 in a grid of 2, got -1 for pixel 3"));
  image = good;
  image.columns[0] = std::numeric_limits<std::int32_t>::max();
  CHECK(message("columns: expected 0 to 2 in a grid of 3, got 2147483647 for pixel 0"));
  image = good;
  image.labels[7] = 5;
  CHECK(message("label map: expected labels below n_classes = 5, got 5"));
  image = good;
  image.grid_height = 0;
  CHECK(message("cells: expected at least one, got 0 x 3"));
  image = good;
  image.width = 0;
  CHECK(message("label map: expected at least one pixel, got 4 x 0"));
  image.height = image.width = std::size_t{1} << 16;
  CHECK(message("label map: expected at most 4294967295 pixels, got 65536 x 65536"));
  const auto whole = [] { build_grid_signature({}, {{65536, -1, 3}, true}); };
  CHECK(test::throws<Bad>(whole, "n_classes: expected 1 to 65535 beside a whole row, got 65536"));
  const std::vector<GridImage> views{good.view(), GridImage{}};
  CHECK(test::throws<Bad>([&] { semcbir::build_grid_signatures(views, spec, 2); }, "image 1: label map"));
}

}  // namespace

int main() {
  test_sizes();
  test_threads();
  test_bad_input();
  return test::result();
}
