// SPDX-License-Identifier: MIT
#include "semcbir/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "float_environment.hpp"
#include "semcbir/interruption.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(_OPENMP) && (defined(__unix__) || defined(__APPLE__))
#include <pthread.h>
#endif

namespace semcbir {
namespace {

// Helpers mostly finish soon after the caller: it yields that often, well below a millisecond, before it
// sleeps.
constexpr int kSpins = 500;

/// Indices handed out in ascending order. Ascending makes the exception deterministic: when i fails, every
/// lower index has been handed out already and runs to its end.
class Work {
 public:
  Work(std::size_t n, const std::function<void(std::size_t)>& body, Interruption* interruption)
      : n_(n), body_(body), interruption_(interruption) {}

  /// The calling thread's part.
  void lead() noexcept {
    run();
    if (interruption_ != nullptr && interruption_->possible()) watch_helpers();
  }

  /// The part of any other thread.
  void help() noexcept {
    ++helpers_;
    run();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (--helpers_ == 0) idle_.notify_one();
  }

  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  void run() noexcept {
    const FloatEnvironment environment;
    while (!failed_.load(std::memory_order_relaxed)) {
      const std::size_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= n_) return;
      try {
        if (interruption_ != nullptr) interruption_->check();
        body_(i);
      } catch (const InterruptedError&) {
        record(n_ + 1);  // whatever stopped the work says more
      } catch (...) {
        record(i);
      }
    }
  }

  /// Waits until no helper is at work, since only this thread can see an interruption.
  void watch_helpers() noexcept {
    for (int spin = 0; spin < kSpins && helpers_.load() > 0; ++spin) std::this_thread::yield();
    const auto idle = [this] { return helpers_.load() == 0; };
    std::unique_lock<std::mutex> lock(mutex_);
    while (!idle_.wait_for(lock, Interruption::kPeriod, idle)) {
      lock.unlock();
      try {
        interruption_->check();
      } catch (...) {
        record(n_);
      }
      lock.lock();
    }
  }

  void record(std::size_t i) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    failed_.store(true, std::memory_order_relaxed);
    if (!exception_ || i < index_) {
      exception_ = std::current_exception();
      index_ = i;
    }
  }

  const std::size_t n_;
  const std::function<void(std::size_t)>& body_;
  Interruption* const interruption_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr exception_;
  std::size_t index_ = 0;
  std::atomic<int> helpers_{0};
  std::condition_variable idle_;
};

void run_on_std_threads(Work& work, int team) {
  std::vector<std::thread> others;
  others.reserve(static_cast<std::size_t>(team) - 1);
  try {
    for (int t = 1; t < team; ++t) others.emplace_back([&work] { work.help(); });
  } catch (const std::system_error&) {
    // The system gives no more threads: those already started do the work.
  }
  work.lead();
  for (std::thread& other : others) other.join();
}

#if defined(_OPENMP)

// An OpenMP run-time keeps its pool of threads from call to call. A forked child inherits the memory of the
// pool but not its threads and would wait for them forever, so children use threads of their own.
std::atomic<bool> in_forked_child{false};

#if defined(__unix__) || defined(__APPLE__)
const int atfork_registered = pthread_atfork(nullptr, nullptr, [] { in_forked_child.store(true); });
#endif

void run_on_team(Work& work, int team) {
  if (in_forked_child.load()) {
    run_on_std_threads(work, team);
    return;
  }
#pragma omp parallel num_threads(team)
  {
    if (omp_get_thread_num() == 0) {
      work.lead();
    } else {
      work.help();
    }
  }
}

#else

void run_on_team(Work& work, int team) { run_on_std_threads(work, team); }

#endif

}  // namespace

bool openmp_enabled() {
#if defined(_OPENMP)
  return true;
#else
  return false;
#endif
}

void parallel_for(std::size_t n, int threads, const std::function<void(std::size_t)>& body,
                  Interruption* interruption) {
  if (threads < 1 || threads > kMaxThreads) {
    throw std::invalid_argument("threads: expected 1 to " + std::to_string(kMaxThreads) + ", got " +
                                std::to_string(threads));
  }
  const int team = static_cast<int>(std::min(n, static_cast<std::size_t>(threads)));
  Work work(n, body, interruption);
  if (team > 1) {
    run_on_team(work, team);
  } else {
    work.lead();
  }
  work.rethrow();
}

}  // namespace semcbir
