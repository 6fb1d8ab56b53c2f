// SPDX-License-Identifier: MIT
#include "semcbir/class_find.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "exact.hpp"
#include "semcbir/class_terms.hpp"
#include "semcbir/parallel.hpp"

namespace semcbir {
namespace {

constexpr std::size_t kImagesPerTask = 16384;
// More than the best are kept until there are so many.
constexpr std::size_t kRoom = 64;
constexpr std::size_t kRowsAtOnce = 4096;
constexpr std::uint16_t kNothing = 0xffff;

/// What is asked, by class. A class that is asked for twice, or is barred, too, has members in a row.
class Table {
 public:
  /// Which of what is asked a class belongs to; those that are barred come last.
  struct Member {
    std::uint16_t asked;
    std::uint16_t next;  ///< kNothing: it is the last one
  };

  explicit Table(const FindOptions& options) {
    for (const AskedClasses& one : options.asked) fit(one.labels);
    fit(options.barred);
    first_.assign(beyond_ + 1, kNothing);  // the last is for all classes beyond
    for (std::size_t i = 0; i < options.asked.size(); ++i) add(i, options.asked[i].labels);
    add(options.asked.size(), options.barred);
  }

  /// The first member of a class, or kNothing.
  std::uint16_t first(std::uint16_t label) const { return first_[std::min<std::size_t>(label, beyond_)]; }
  const Member& member(std::uint16_t at) const { return members_[at]; }

 private:
  void fit(const std::vector<std::uint16_t>& labels) {
    if (!labels.empty()) beyond_ = std::max<std::size_t>(beyond_, labels.back() + std::size_t{1});
  }

  void add(std::size_t asked, const std::vector<std::uint16_t>& labels) {
    for (const std::uint16_t label : labels) {
      members_.push_back({static_cast<std::uint16_t>(asked), first_[label]});
      first_[label] = static_cast<std::uint16_t>(members_.size() - 1);
    }
  }

  std::size_t beyond_ = 0;            // a label above all that are asked for
  std::vector<std::uint16_t> first_;  // by label, in members
  std::vector<Member> members_;
};

/// Looks at the shares of one image after another, and keeps the best.
class Finder {
 public:
  Finder(const FindOptions& options, const Table& table)
      : options_(options),
        table_(table),
        most_(options.k > SIZE_MAX / 4 - options.first ? SIZE_MAX / 4 : options.first + options.k),
        sums_(options.asked.size(), 0.0) {
    FoundImage none{};
    empty_shows_ = shows(none);
  }

  /// Looks at the images [first, last) of a segment.
  void scan(const SignatureView& view, std::size_t segment, std::size_t first, std::size_t last) {
    const auto end = static_cast<std::size_t>(view.offsets[last]);
    std::size_t image = first;
    std::uint32_t hits[kRowsAtOnce];
    for (auto row = static_cast<std::size_t>(view.offsets[first]); row < end; row += kRowsAtOnce) {
      const std::size_t count = find_rows(view.classes + row, std::min(kRowsAtOnce, end - row), hits);
      for (std::size_t h = 0; h < count; ++h) {
        const std::size_t hit = row + hits[h];
        while (static_cast<std::size_t>(view.offsets[image + 1]) <= hit) end_image(view, segment, image++);
        add(view.classes[hit], static_cast<double>(view.proportions[hit]));
      }
    }
    while (image < last) end_image(view, segment, image++);
  }

  std::int64_t total() const { return total_; }
  /// The best, in no order; some more may be among them.
  const std::vector<FoundImage>& found() const { return found_; }

 private:
  /// Finds the rows of classes that are asked for, which mostly are few: without a branch, which would be
  /// guessed wrong as often as not.
  std::size_t find_rows(const std::uint16_t* classes, std::size_t rows, std::uint32_t* hits) const {
    std::size_t count = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      hits[count] = static_cast<std::uint32_t>(r);
      count += table_.first(classes[r]) != kNothing ? 1 : 0;
    }
    return count;
  }

  void add(std::uint16_t label, double share) {
    touched_ = true;
    for (std::uint16_t at = table_.first(label); at != kNothing; at = table_.member(at).next) {
      const std::size_t asked = table_.member(at).asked;
      if (asked < sums_.size()) {
        sums_[asked] += share;
      } else {
        barred_ = barred_ || share > options_.max_share;
      }
    }
  }

  /// Judges an image whose rows have all been added, and makes room for the next one.
  void end_image(const SignatureView& view, std::size_t segment, std::size_t i) {
    if (!touched_ && !empty_shows_) return;
    FoundImage image{0.0, 1.0, view.ids[i], segment, i};
    if (image.id >= 0 && !barred_ && shows(image)) offer(image);
    std::fill(sums_.begin(), sums_.end(), 0.0);
    touched_ = barred_ = false;
  }

  bool shows(FoundImage& image) const {
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      const std::optional<double>& share = options_.asked[i].share;
      if (!(sums_[i] >= std::min(options_.min_share, share.value_or(1.0)))) return false;
      if (share) {
        image.distance += std::fabs(sums_[i] - *share);
      } else {
        image.least = std::min(image.least, sums_[i]);
      }
    }
    return true;
  }

  void offer(const FoundImage& image) {
    ++total_;
    if (bounded_ && !(image < bound_)) return;
    found_.push_back(image);
    if (found_.size() >= 2 * most_ + kRoom) cut();
  }

  void cut() {
    if (most_ == 0) return found_.clear();
    const auto last = found_.begin() + static_cast<std::ptrdiff_t>(most_ - 1);
    std::nth_element(found_.begin(), last, found_.end());
    bound_ = *last;
    bounded_ = true;
    found_.erase(last + 1, found_.end());
  }

  const FindOptions& options_;
  const Table& table_;
  const std::size_t most_;
  std::vector<double> sums_;
  bool empty_shows_ = false;  // an image without any of the classes is found, too
  bool touched_ = false;
  bool barred_ = false;
  std::int64_t total_ = 0;
  bool bounded_ = false;
  FoundImage bound_{};  // the last of the best, once there was a cut
  std::vector<FoundImage> found_;
};

void check(const FindOptions& options) {
  // Bounds of labels and shares are those of terms; each list is checked as what is needed.
  ClassTerms terms;
  terms.min_share = options.min_share;
  terms.max_share = options.max_share;
  terms.barred = options.barred;
  check_terms(terms);
  std::size_t members = options.barred.size();
  for (const AskedClasses& one : options.asked) {
    terms.needed = one.labels;
    terms.min_share = one.share.value_or(0.0);
    check_terms(terms);
    members += one.labels.size() + 1;
  }
  if (members >= kNothing || options.asked.size() >= kNothing) {
    throw std::invalid_argument("asked: expected fewer than 65535 classes, got " + std::to_string(members));
  }
}

}  // namespace

bool operator<(const FoundImage& a, const FoundImage& b) {
  return std::tie(a.distance, b.least, a.id) < std::tie(b.distance, a.least, b.id);
}

std::vector<double> asked_shares(const std::vector<AskedClasses>& asked, const ImageRows& image) {
  std::vector<double> shares(asked.size(), 0.0);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    for (std::size_t row = 0; row < image.count; ++row) {
      const std::vector<std::uint16_t>& labels = asked[i].labels;
      if (!std::binary_search(labels.begin(), labels.end(), image.classes[row])) continue;
      shares[i] += static_cast<double>(image.proportions[row]);
    }
  }
  return shares;
}

std::vector<FoundImage> find_images(const std::vector<SignatureView>& segments, const FindOptions& options,
                                    std::int64_t& total, const Interrupted& interrupted) {
  check(options);
  struct Task {
    std::size_t segment;
    std::size_t first;
    std::size_t last;
  };
  std::vector<Task> tasks;
  for (std::size_t s = 0; s < segments.size(); ++s) {
    for (std::size_t first = 0; first < segments[s].images; first += kImagesPerTask) {
      tasks.push_back({s, first, std::min(first + kImagesPerTask, segments[s].images)});
    }
  }
  const Table table(options);
  std::vector<Finder> finders(tasks.size(), Finder(options, table));
  Interruption interruption(interrupted);
  parallel_for(
      tasks.size(), options.threads,
      [&](std::size_t t) {
        const Task& task = tasks[t];
        finders[t].scan(segments[task.segment], task.segment, task.first, task.last);
      },
      &interruption);
  std::vector<FoundImage> found;
  total = 0;
  for (const Finder& finder : finders) {
    found.insert(found.end(), finder.found().begin(), finder.found().end());
    total += finder.total();
  }
  const std::size_t first = std::min(options.first, found.size());
  const std::size_t count = std::min(options.k, found.size() - first);
  const auto at = [&found](std::size_t i) { return found.begin() + static_cast<std::ptrdiff_t>(i); };
  std::nth_element(found.begin(), at(first), found.end());
  std::partial_sort(at(first), at(first + count), found.end());
  return {at(first), at(first + count)};
}

}  // namespace semcbir
