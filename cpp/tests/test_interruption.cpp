// SPDX-License-Identifier: MIT
// Long work stops soon after it is told to, whichever thread does it; only the calling thread asks.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "random_signatures.hpp"
#include "semcbir/histogram.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/parallel.hpp"
#include "semcbir/searcher.hpp"
#include "semcbir/signature.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using semcbir::Interrupted;
using semcbir::InterruptedError;
using semcbir::Interruption;
using std::chrono::milliseconds;

// Generous, for busy machines and sanitizers; the work below takes several times as long even without them.
constexpr milliseconds kSoon{8000};

/// Says yes from the third time on, and checks which thread asks.
struct Question {
  std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> asked{0};
  Interrupted interrupted() {
    return [this] {
      CHECK(std::this_thread::get_id() == caller);
      return ++asked >= 3;
    };
  }
};

/// Whether work(interrupted) is stopped by the question, and soon.
template <class Work>
bool stops(const Work& work) {
  Question question;
  const Clock::time_point start = Clock::now();
  const bool stopped = test::throws<InterruptedError>([&] { work(question.interrupted()); }, "interrupted");
  const auto took = Clock::now() - start;
  return stopped && question.asked == 3 && took > 2 * Interruption::kPeriod && took < kSoon;
}

/// The same image again and again.
test::Signatures many_times(std::size_t images, std::uint16_t n_classes, std::size_t dim) {
  test::Random random(1);
  test::Signatures result;
  for (std::size_t i = 0; i < images; ++i) {
    random = test::Random(1);
    append_random(result, random, n_classes, dim);
  }
  return result;
}

void test_searches_stop() {
  constexpr std::size_t dim = 64;
  const test::Signatures images = many_times(1000, 60, dim);
  // The same segment again and again, since the core does not mind equal ids: it would take minutes.
  const semcbir::Searcher searcher(std::vector<semcbir::SignatureView>(100000, images.view()), dim);
  for (const std::size_t queries : {1U, 100U}) {
    semcbir::SignatureView asked = images.view();
    asked.images = queries;
    std::vector<std::int64_t> ids(queries);
    std::vector<std::int64_t> kept(queries);
    std::vector<float> distances(queries);
    std::vector<float> histogram_distances(queries);
    const semcbir::SearchOutput output{ids.data(), distances.data(), histogram_distances.data(), kept.data()};
    for (const int threads : {1, 2, 7}) {
      CHECK(stops([&](const Interrupted& interrupted) {
        searcher.search(asked, {1, 0.9, false, threads}, output, interrupted);
      }));
    }
  }
}

void test_histogram_distances_stop() {
  const test::Signatures images = many_times(2000, 9000, 0);
  std::vector<double> out(images.ids.size() * images.ids.size());
  for (const int threads : {1, 2, 7}) {
    CHECK(stops([&](const Interrupted& interrupted) {
      semcbir::histogram_distances(images.view(), images.view(), out.data(), threads, interrupted);
    }));
  }
}

void test_building_stops() {
  const std::vector<std::uint8_t> labels(4000 * 1000, 1);
  const semcbir::LabelledImage image{labels.data(), 4000, 1000, nullptr, nullptr, 0};
  const std::vector<semcbir::LabelledImage> images(20000, image);
  for (const int threads : {1, 2, 7}) {
    CHECK(stops([&](const Interrupted& interrupted) {
      semcbir::build_signatures(images, {2, -1, 1}, threads, interrupted);
    }));
  }
}

/// The caller has nothing left to do and waits for the others.
void test_while_waiting_for_others() {
  const std::thread::id caller = std::this_thread::get_id();
  for (const int threads : {2, 7}) {
    CHECK(stops([&](const Interrupted& interrupted) {
      Interruption interruption(interrupted);
      const auto body = [&](std::size_t) {
        if (std::this_thread::get_id() == caller) {
          std::this_thread::sleep_for(milliseconds(1));
          return;
        }
        for (int i = 0; i < 20000; ++i) {
          std::this_thread::sleep_for(milliseconds(1));
          interruption.check(1);
        }
      };
      semcbir::parallel_for(200, threads, body, &interruption);
    }));
  }
}

void test_without_a_question_nothing_stops() {
  Interruption none{Interrupted()};
  CHECK(!none.possible());
  none.check();
  std::atomic<int> done{0};
  semcbir::parallel_for(100, 3, [&](std::size_t) { ++done; }, &none);
  CHECK(done == 100);
}

void test_short_work_is_never_asked() {
  Question question;
  const Interrupted interrupted = question.interrupted();
  Interruption interruption(interrupted);
  for (int i = 0; i < 1000; ++i) interruption.check();
  semcbir::parallel_for(100, 3, [](std::size_t) {}, &interruption);
  CHECK(question.asked == 0);
}

/// The question may throw an exception of its own: it stops all threads and comes out.
void test_a_question_that_throws() {
  for (const int threads : {1, 2, 7}) {
    std::atomic<int> running{0};
    const Interrupted interrupted = []() -> bool { throw std::runtime_error("asked"); };
    Interruption interruption(interrupted);
    const auto body = [&](std::size_t) {
      ++running;
      for (int i = 0; i < 60000; ++i) {
        std::this_thread::sleep_for(milliseconds(1));
        interruption.check();
      }
    };
    const Clock::time_point start = Clock::now();
    CHECK(test::throws<std::runtime_error>([&] { semcbir::parallel_for(20, threads, body, &interruption); },
                                           "asked"));
    CHECK(running <= threads && Clock::now() - start < kSoon);
  }
}

/// An exception of the work itself is not lost.
void test_other_exceptions() {
  Question question;
  const Interrupted interrupted = question.interrupted();
  Interruption interruption(interrupted);
  const auto fail = [](std::size_t i) {
    if (i >= 3) throw std::runtime_error("task " + std::to_string(i) + ".");
  };
  for (const int threads : {1, 2, 7}) {
    CHECK(test::throws<std::runtime_error>([&] { semcbir::parallel_for(9, threads, fail, &interruption); },
                                           "task 3."));
  }
}

}  // namespace

int main() {
  test_searches_stop();
  test_histogram_distances_stop();
  test_building_stops();
  test_while_waiting_for_others();
  test_without_a_question_nothing_stops();
  test_short_work_is_never_asked();
  test_a_question_that_throws();
  test_other_exceptions();
  return test::result();
}
