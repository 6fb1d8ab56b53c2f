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

constexpr std::size_t kImagesPerTask = 65536;
// More than the best are kept until there are so many.
constexpr std::size_t kRoom = 64;
constexpr std::uint16_t kNothing = 0xffff;

/// What is asked, by class. A class that is asked for twice, or is barred, too, has members in a row.
class Table {
 public:
  /// Which of what is asked a class belongs to; those that are barred come last.
  struct Member {
    std::uint16_t label;
    std::uint16_t asked;
    std::uint16_t next;  ///< kNothing: it is the last one
  };

  explicit Table(const FindOptions& options) : first_(kMaxClasses, kNothing) {
    for (std::size_t i = 0; i < options.asked.size(); ++i) add(i, options.asked[i].labels);
    add(options.asked.size(), options.barred);
    // What is not asked for goes to a place of its own, so that nothing has to be decided.
    places_.assign(kMaxClasses, static_cast<std::uint16_t>(options.asked.size() + 1));
    for (const Member& one : members_) {
      simple_ = simple_ && one.next == kNothing;
      places_[one.label] = one.asked;
    }
  }

  /// Whether no class has two members.
  bool simple() const { return simple_; }
  /// The number in the list of what is asked; one more: barred; two more: nothing.
  std::uint16_t place(std::uint16_t label) const { return places_[label]; }
  std::uint16_t first(std::uint16_t label) const { return first_[label]; }
  const Member& member(std::uint16_t at) const { return members_[at]; }

 private:
  void add(std::size_t asked, const std::vector<std::uint16_t>& labels) {
    for (const std::uint16_t label : labels) {
      members_.push_back({label, static_cast<std::uint16_t>(asked), first_[label]});
      first_[label] = static_cast<std::uint16_t>(members_.size() - 1);
    }
  }

  std::vector<std::uint16_t> first_;  // by label, in members
  std::vector<std::uint16_t> places_;
  std::vector<Member> members_;
  bool simple_ = true;
};

/// Looks at the shares of one image after another, and keeps the best.
class Finder {
 public:
  Finder(const FindOptions& options, const Table& table)
      : options_(options),
        table_(table),
        most_(options.k > SIZE_MAX / 4 - options.first ? SIZE_MAX / 2 : options.first + options.k),
        sums_(options.asked.size() + 2) {}

  /// Looks at the images [first, last) of a segment.
  void scan(const SignatureView& view, std::size_t segment, std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) {
      if (view.ids[i] < 0) continue;
      if (!sum(view, i)) continue;
      FoundImage image{0.0, 1.0, view.ids[i], segment, i};
      if (!judge(image)) continue;
      ++total_;
      if (bounded_ && !(image < bound_)) continue;
      found_.push_back(image);
      if (found_.size() >= 2 * most_ + kRoom) cut();
    }
  }

  std::int64_t total() const { return total_; }
  /// The best, in no order; some more may be among them.
  const std::vector<FoundImage>& found() const { return found_; }

 private:
  /// Sums the shares of one image; false if too much of it is barred.
  bool sum(const SignatureView& view, std::size_t i) {
    for (double& sum : sums_) sum = 0.0;
    const auto first = static_cast<std::size_t>(view.offsets[i]);
    const auto last = static_cast<std::size_t>(view.offsets[i + 1]);
    const std::size_t barred = options_.asked.size();
    if (!table_.simple()) return sum_each(view, first, last);
    unsigned bad = 0;
    for (std::size_t row = first; row < last; ++row) {
      const std::size_t place = table_.place(view.classes[row]);
      const auto share = static_cast<double>(view.proportions[row]);
      sums_[place] += share;
      bad |= static_cast<unsigned>(place == barred) & static_cast<unsigned>(share > options_.max_share);
    }
    return bad == 0;
  }

  bool sum_each(const SignatureView& view, std::size_t first, std::size_t last) {
    for (std::size_t row = first; row < last; ++row) {
      const auto share = static_cast<double>(view.proportions[row]);
      for (std::uint16_t at = table_.first(view.classes[row]); at != kNothing; at = table_.member(at).next) {
        const std::size_t asked = table_.member(at).asked;
        if (asked == options_.asked.size() && share > options_.max_share) return false;
        sums_[asked] += share;
      }
    }
    return true;
  }

  bool judge(FoundImage& image) const {
    for (std::size_t i = 0; i < options_.asked.size(); ++i) {
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
