// SPDX-License-Identifier: MIT
#include "semcbir/interruption.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>

namespace semcbir {

Interruption::Interruption(const Interrupted& interrupted)
    : interrupted_(interrupted),
      possible_(static_cast<bool>(interrupted)),
      owner_(std::this_thread::get_id()),
      next_(std::chrono::steady_clock::now() + kPeriod) {}

void Interruption::ask(std::size_t work) {
  work_ += work;
  if (work_ < kWorkPerLook) return;
  work_ = 0;
  if (std::chrono::steady_clock::now() < next_) return;
  try {
    if (interrupted_()) throw InterruptedError();
  } catch (...) {
    stop_.store(true, std::memory_order_relaxed);
    throw;
  }
  next_ = std::chrono::steady_clock::now() + kPeriod;
}

}  // namespace semcbir
