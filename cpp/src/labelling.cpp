// SPDX-License-Identifier: MIT
#include "semcbir/labelling.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "float_environment.hpp"

namespace semcbir {
namespace {

constexpr std::size_t kMostChannels = 65536;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

[[noreturn]] void refuse_scores() { throw std::invalid_argument("gave scores that are not finite"); }

/// One axis: for each cell the positions in it, and how far into its cell each position lies.
struct Axis {
  std::vector<std::size_t> start;  ///< of each cell's positions; then the end of the last
  std::vector<float> fraction;

  std::size_t cells() const { return start.size() - 1; }
};

Axis axis_of(const Positions& positions, std::size_t points, const char* name) {
  Axis axis;
  axis.fraction.reserve(positions.count);
  const std::size_t last_cell = points < 2 ? 0 : points - 2;
  double before = 0.0;
  for (std::size_t i = 0; i < positions.count; ++i) {
    const double position = positions.values[i];
    if (!(position >= before && position <= static_cast<double>(points - 1))) {
      throw std::invalid_argument(std::string(name) + ": expected positions from 0 to " +
                                  std::to_string(points - 1) + " that do not decrease, got " +
                                  std::to_string(position) + " after " + std::to_string(before));
    }
    before = position;
    const std::size_t cell = std::min(static_cast<std::size_t>(position), last_cell);
    axis.start.resize(std::max(axis.start.size(), cell + 1), i);
    axis.fraction.push_back(static_cast<float>(position - static_cast<double>(cell)));
  }
  axis.start.push_back(positions.count);
  return axis;
}

/// A channel's score over a cell: a + b x + c y + d y x.
struct Surface {
  float a, b, c, d;
  std::uint16_t channel;

  float at(float x, float y, float product) const { return a + b * x + c * y + d * product; }
};

/// Which channels can win in which cell.
///
/// Interpolating every channel at every pixel would cost as much as the network. But inside a cell a score
/// stays between the least and the greatest of its corners, so only channels whose greatest reaches the
/// largest of all the least can win there: one in most cells, a few in the others.
///
/// Channel by channel, since the scores of one fit into the cache; without branches where all of them are
/// looked at, so that compilers vectorise it.
class Contest {
 public:
  Contest(const Lattice& lattice, std::size_t rows, std::size_t columns)
      : lattice_(lattice),
        rows_(rows),
        columns_(columns),
        right_(lattice.width > 1 ? 1 : 0),  // a single point is its own neighbour
        below_(lattice.height > 1 ? lattice.width : 0),
        bar_(rows * columns, -kInfinity),
        start_(rows * columns + 1) {
    for (std::size_t c = 0; c < lattice.channels; ++c) {
      if (!lattice.masked[c]) raise_bar(c);
    }
    if (!std::all_of(bar_.begin(), bar_.end(), [](float bar) { return std::isfinite(bar); })) refuse_scores();
    for (std::size_t c = 0; c < lattice.channels; ++c) {
      if (!lattice.masked[c]) note_wins(c);
    }
    sort_by_cell();
  }

  /// Writes what the channels that can win in a cell score there, the lowest channel first.
  void surfaces(std::size_t y, std::size_t x, std::vector<Surface>& out) const {
    out.clear();
    const std::size_t cell = y * columns_ + x;
    for (std::size_t i = start_[cell]; i < start_[cell + 1]; ++i) {
      const float* at = corner(channels_[i], y) + x;
      const float b = at[right_] - at[0];
      out.push_back({at[0], b, at[below_] - at[0], at[below_ + right_] - at[below_] - b, channels_[i]});
    }
  }

 private:
  struct Win {
    std::size_t cell;
    std::uint16_t channel;
  };

  const float* corner(std::size_t channel, std::size_t y) const {
    return lattice_.scores + (channel * lattice_.height + y) * lattice_.width;
  }

  /// Raises the bar of every cell to a channel's least score there.
  void raise_bar(std::size_t channel) {
    int bad = 0;
    for (std::size_t y = 0; y < rows_; ++y) {
      const float* top = corner(channel, y);
      const float* top_right = top + right_;
      const float* bottom = top + below_;
      const float* bottom_right = bottom + right_;
      float* bar = bar_.data() + y * columns_;
      for (std::size_t x = 0; x < columns_; ++x) {
        const float left = std::min(top[x], bottom[x]);
        bar[x] = std::max(bar[x], std::min(left, std::min(top_right[x], bottom_right[x])));
        bad |= is_no_number(top[x]);
      }
      bad |= is_no_number(top_right[columns_ - 1]);
    }
    const float* last = corner(channel, rows_ - 1) + below_;
    for (std::size_t x = 0; x < columns_ + right_; ++x) bad |= is_no_number(last[x]);
    if (bad != 0) refuse_scores();
  }

  static int is_no_number(float score) { return static_cast<int>(score != score); }

  /// Notes the cells where a channel can win.
  void note_wins(std::size_t channel) {
    for (std::size_t y = 0; y < rows_; ++y) {
      const float* top = corner(channel, y);
      const float* bar = bar_.data() + y * columns_;
      int anywhere = 0;
      for (std::size_t x = 0; x < columns_; ++x) {
        anywhere |= static_cast<int>(greatest(top + x) >= bar[x]);
      }
      if (anywhere == 0) continue;
      for (std::size_t x = 0; x < columns_; ++x) {
        if (greatest(top + x) >= bar[x]) note_win(top + x, y * columns_ + x, channel);
      }
    }
  }

  float greatest(const float* at) const {
    return std::max(std::max(at[0], at[below_]), std::max(at[right_], at[below_ + right_]));
  }

  void note_win(const float* at, std::size_t cell, std::size_t channel) {
    for (const std::size_t step : {std::size_t{0}, right_, below_, below_ + right_}) {
      if (!std::isfinite(at[step])) refuse_scores();
    }
    wins_.push_back({cell, static_cast<std::uint16_t>(channel)});
    ++start_[cell + 1];
  }

  void sort_by_cell() {
    std::partial_sum(start_.begin(), start_.end(), start_.begin());
    std::vector<std::size_t> next(start_.begin(), start_.end() - 1);
    channels_.resize(wins_.size());
    for (const Win& win : wins_) channels_[next[win.cell]++] = win.channel;
  }

  const Lattice& lattice_;
  std::size_t rows_;
  std::size_t columns_;
  std::size_t right_;
  std::size_t below_;
  std::vector<float> bar_;
  std::vector<Win> wins_;                ///< channel by channel
  std::vector<std::size_t> start_;       ///< of each cell's channels; then the end of the last
  std::vector<std::uint16_t> channels_;  ///< cell by cell
};

/// Writes the winners at a line's positions in one cell, `y` from the cell's upper edge.
void settle_line(const std::vector<Surface>& surfaces, const Axis& across, std::size_t cell, float y,
                 std::uint16_t* line) {
  const std::size_t begin = across.start[cell], end = across.start[cell + 1];
  if (surfaces.size() == 1) {
    for (std::size_t i = begin; i < end; ++i) line[i] = surfaces[0].channel;
    return;
  }
  for (std::size_t i = begin; i < end; ++i) {
    const float x = across.fraction[i];
    const float product = y * x;
    float best = -kInfinity;
    std::uint16_t winner = 0;
    for (const Surface& surface : surfaces) {
      const float score = surface.at(x, y, product);
      winner = score > best ? surface.channel : winner;
      best = score > best ? score : best;
    }
    line[i] = winner;
  }
}

}  // namespace

void upsampled_argmax(const Lattice& lattice, const Positions& rows, const Positions& columns,
                      std::uint16_t* labels) {
  if (lattice.channels == 0 || lattice.channels > kMostChannels || lattice.height == 0 ||
      lattice.width == 0) {
    throw std::invalid_argument(
        "logits: expected shape (C, h, w) with C from 1 to 65536 and at least one point");
  }
  const Axis down = axis_of(rows, lattice.height, "rows");
  const Axis across = axis_of(columns, lattice.width, "columns");
  const FloatEnvironment environment;
  if (rows.count == 0 || columns.count == 0) return;
  const Contest contest(lattice, down.cells(), across.cells());
  std::vector<Surface> surfaces;
  for (std::size_t cell_y = 0; cell_y < down.cells(); ++cell_y) {
    for (std::size_t cell_x = 0; cell_x < across.cells(); ++cell_x) {
      contest.surfaces(cell_y, cell_x, surfaces);
      for (std::size_t y = down.start[cell_y]; y < down.start[cell_y + 1]; ++y) {
        settle_line(surfaces, across, cell_x, down.fraction[y], labels + y * columns.count);
      }
    }
  }
}

}  // namespace semcbir
