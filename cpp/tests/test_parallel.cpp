// SPDX-License-Identifier: MIT
#include <atomic>
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "semcbir/parallel.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

using semcbir::parallel_for;

bool visits_each_once(std::size_t n, int threads) {
  std::vector<std::atomic<int>> visits(n);
  parallel_for(n, threads, [&](std::size_t i) { ++visits[i]; });
  for (const std::atomic<int>& visit : visits) {
    if (visit != 1) return false;
  }
  return true;
}

void test_each_once() {
  for (const int threads : {1, 2, 7}) {
    for (const std::size_t n : {0U, 1U, 2U, 6U, 1009U}) CHECK(visits_each_once(n, threads));
  }
}

/// All fail from 300 on: the exception must be the one that a plain loop would have thrown.
void test_first_exception() {
  const auto fail = [](std::size_t i) {
    if (i >= 300) throw std::runtime_error("task " + std::to_string(i) + ".");
  };
  for (const int threads : {1, 2, 7}) {
    for (int repetition = 0; repetition < 20; ++repetition) {
      CHECK(test::throws<std::runtime_error>([&] { parallel_for(1000, threads, fail); }, "task 300."));
    }
  }
}

/// All fail at the same time: every task waits until the others run too, at most a second each.
void test_failures_at_once() {
  using Clock = std::chrono::steady_clock;
  for (const int threads : {2, 7}) {
    std::atomic<int> running{0};
    const auto fail = [&](std::size_t i) {
      ++running;
      const Clock::time_point end = Clock::now() + std::chrono::seconds(1);
      while (running < threads && Clock::now() < end) std::this_thread::yield();
      throw std::runtime_error("task " + std::to_string(i) + ".");
    };
    const auto n = static_cast<std::size_t>(threads);
    CHECK(test::throws<std::runtime_error>([&] { parallel_for(n, threads, fail); }, "task 0."));
  }
}

void test_bad_threads() {
  const auto nothing = [](std::size_t) {};
  using Bad = std::invalid_argument;
  CHECK(test::throws<Bad>([&] { parallel_for(1, 0, nothing); }, "threads: expected 1 to 1024, got 0"));
  CHECK(test::throws<Bad>([&] { parallel_for(1, -3, nothing); }, "got -3"));
  CHECK(test::throws<Bad>([&] { parallel_for(1, 1025, nothing); }, "got 1025"));
}

void test_callers_in_parallel() {
  std::atomic<int> good{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] { good += visits_each_once(501, 3) ? 1 : 0; });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(good == 4);
}

void test_forked_child() {
#if (defined(__unix__) || defined(__APPLE__)) && !defined(SEMCBIR_EMULATED)
  CHECK(visits_each_once(100, 4));
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // ends the child should it hang
    const bool good = visits_each_once(100, 4) && visits_each_once(100, 7);
    _exit(good ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(visits_each_once(100, 4));
#endif
}

}  // namespace

int main() {
  test_each_once();
  test_first_exception();
  test_failures_at_once();
  test_bad_threads();
  test_callers_in_parallel();
  test_forked_child();
  return test::result();
}
