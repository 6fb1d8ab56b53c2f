// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "random_signatures.hpp"
#include "semcbir/labelling.hpp"

namespace {

/// A lattice, and positions on it, in memory of exactly their size.
struct Case {
  std::size_t channels, height, width;
  std::vector<float> scores;
  std::vector<std::uint8_t> masked;
  std::vector<double> rows, columns;

  Case(std::size_t c, std::size_t h, std::size_t w, std::size_t photo_height, std::size_t photo_width)
      : channels(c),
        height(h),
        width(w),
        masked(c),
        rows(spread(photo_height, h)),
        columns(spread(photo_width, w)) {}

  /// Positions from the first point to the last.
  static std::vector<double> spread(std::size_t count, std::size_t points) {
    std::vector<double> positions;
    for (std::size_t i = 0; i < count; ++i) {
      const double share = count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0.0;
      positions.push_back(share * static_cast<double>(points - 1));
    }
    return positions;
  }

  void fill(std::uint32_t seed, bool ties) {
    test::Random random(seed);
    for (std::size_t i = 0; i < channels * height * width; ++i) {
      scores.push_back(ties ? static_cast<float>(random.below(3)) : random.wide());
    }
  }

  float at(std::size_t channel, std::size_t y, std::size_t x) const {
    return scores[(channel * height + std::min(y, height - 1)) * width + std::min(x, width - 1)];
  }

  std::vector<std::uint16_t> labels() const {
    std::vector<std::uint16_t> found(rows.size() * columns.size(), 999);
    semcbir::upsampled_argmax({scores.data(), channels, height, width, masked.data()},
                              {rows.data(), rows.size()}, {columns.data(), columns.size()}, found.data());
    return found;
  }
};

/// The winner at one position, by looking at every channel.
std::uint16_t plain_winner(const Case& given, double row, double column) {
  const auto cell = [](double position, std::size_t points) {
    return std::min(static_cast<std::size_t>(position), points < 2 ? 0 : points - 2);
  };
  const std::size_t top = cell(row, given.height), left = cell(column, given.width);
  const float y = static_cast<float>(row - static_cast<double>(top));
  const float x = static_cast<float>(column - static_cast<double>(left));
  float bar = -std::numeric_limits<float>::infinity();
  const auto corners = [&](std::size_t c) {
    return std::vector<float>{given.at(c, top, left), given.at(c, top, left + 1), given.at(c, top + 1, left),
                              given.at(c, top + 1, left + 1)};
  };
  for (std::size_t c = 0; c < given.channels; ++c) {
    const std::vector<float> of = corners(c);
    if (!given.masked[c]) bar = std::max(bar, *std::min_element(of.begin(), of.end()));
  }
  float best = -std::numeric_limits<float>::infinity();
  std::uint16_t winner = 0;
  for (std::size_t c = 0; c < given.channels; ++c) {
    const std::vector<float> of = corners(c);
    if (given.masked[c] || *std::max_element(of.begin(), of.end()) < bar) continue;
    const float right = of[1] - of[0];
    const float score = of[0] + right * x + (of[2] - of[0]) * y + (of[3] - of[2] - right) * (y * x);
    if (score > best) {
      best = score;
      winner = static_cast<std::uint16_t>(c);
    }
  }
  return winner;
}

void check_winners(const Case& given, const std::string& context) {
  const std::vector<std::uint16_t> found = given.labels();
  for (std::size_t y = 0; y < given.rows.size(); ++y) {
    for (std::size_t x = 0; x < given.columns.size(); ++x) {
      const std::uint16_t expected = plain_winner(given, given.rows[y], given.columns[x]);
      CHECK_IN(found[y * given.columns.size() + x] == expected, context);
    }
  }
}

void test_winners() {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    test::Random random(seed);
    const auto side = [&](std::uint32_t most) { return 1 + random.below(most); };
    Case given(side(9), side(6), side(20), side(30), side(30));
    given.fill(seed, seed % 2 == 0);
    for (std::size_t c = 1; c < given.channels; ++c) given.masked[c] = random.below(4) == 0;
    check_winners(given, "of seed " + std::to_string(seed));
  }
  Case large(150, 44, 64, 256, 384);
  large.fill(1, false);
  check_winners(large, "of a photo's size");
}

void test_scores_that_matter_are_finite() {
  const auto with = [](std::size_t channel, std::size_t y, std::size_t x, float score) {
    Case given(3, 4, 5, 9, 9);
    given.scores.assign(60, 0.0F);
    given.scores[(channel * 4 + y) * 5 + x] = score;
    return given;
  };
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (std::size_t y = 0; y < 4; ++y) {
    for (std::size_t x = 0; x < 5; ++x) {
      for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity}) {
        Case given = with(1, y, x, bad);
        CHECK(test::throws<std::invalid_argument>([&] { given.labels(); }, "not finite"));
        given.masked[1] = 1;
        CHECK(given.labels() == std::vector<std::uint16_t>(81, 0));
      }
    }
  }
  Case low(2, 2, 2, 3, 3);
  low.scores = {-infinity, -infinity, -infinity, -infinity, 0, 0, 0, 0};  // struck out by the graph itself
  CHECK(low.labels() == std::vector<std::uint16_t>(9, 1));
  low.masked = {1, 1};
  CHECK(test::throws<std::invalid_argument>([&] { low.labels(); }, "not finite"));
}

void test_positions_and_shapes_are_checked() {
  const auto with = [](std::vector<double> rows) {
    Case given(2, 3, 3, 1, 1);
    given.scores.assign(18, 0.0F);
    given.rows = std::move(rows);
    return given;
  };
  for (const std::vector<double>& wrong :
       {std::vector<double>{-0.1}, {2.1}, {1.0, 0.5}, {std::numeric_limits<double>::quiet_NaN()}}) {
    const Case given = with(wrong);
    CHECK(
        test::throws<std::invalid_argument>([&] { given.labels(); }, "rows: expected positions from 0 to 2"));
  }
  CHECK(with({0.0, 2.0}).labels().size() == 2);
  CHECK(with({}).labels().empty());
  Case none(0, 3, 3, 1, 1);
  CHECK(test::throws<std::invalid_argument>([&] { none.labels(); }, "logits: expected shape"));
}

}  // namespace

int main() {
  test_winners();
  test_scores_that_matter_are_finite();
  test_positions_and_shapes_are_checked();
  return test::result();
}
