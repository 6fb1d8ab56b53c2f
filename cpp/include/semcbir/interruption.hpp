// SPDX-License-Identifier: MIT
// Stopping long work before its end.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <thread>

namespace semcbir {

/// Tells whether work should stop, or throws to stop it. Empty: never.
using Interrupted = std::function<bool()>;

/// What work that was told to stop throws.
class InterruptedError : public std::runtime_error {
 public:
  InterruptedError() : std::runtime_error("interrupted") {}
};

/// Asks, in the thread that made it, whether the work of several threads should stop, and tells all of them.
class Interruption {
 public:
  /// How often it asks.
  static constexpr std::chrono::milliseconds kPeriod{50};
  /// Work after which the clock is looked at, in the callers' unit: that takes as long as a few small steps.
  static constexpr std::size_t kWorkPerLook = 2048;

  /// `interrupted` must live as long as this.
  explicit Interruption(const Interrupted& interrupted);

  /// Whether anything could stop the work.
  bool possible() const { return possible_; }

  /// Throws InterruptedError if the work should stop; once told so it does not ask again. Threads call it
  /// again and again, saying how much they have done since.
  void check(std::size_t work = kWorkPerLook) {
    if (!possible_) return;
    if (stop_.load(std::memory_order_relaxed)) throw InterruptedError();
    if (std::this_thread::get_id() == owner_) ask(work);
  }

 private:
  void ask(std::size_t work);

  const Interrupted& interrupted_;
  const bool possible_;
  const std::thread::id owner_;
  // The next two are the owner's alone.
  std::size_t work_ = 0;
  std::chrono::steady_clock::time_point next_;
  std::atomic<bool> stop_{false};
};

}  // namespace semcbir
