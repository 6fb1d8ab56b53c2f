// SPDX-License-Identifier: MIT
// The loop that spreads independent work over threads.
#pragma once

#include <cstddef>
#include <functional>

#include "semcbir/interruption.hpp"

namespace semcbir {

/// The most threads that a call may ask for.
constexpr int kMaxThreads = 1024;

/// How many parts of `size` there are in n, the last one being what is left.
constexpr std::size_t divide_up(std::size_t n, std::size_t size) { return (n + size - 1) / size; }

/// Whether parallel_for was built with OpenMP.
bool openmp_enabled();

/// Calls body(i) once for each i in [0, n), on at most `threads` threads, the calling one among them.
///
/// Any thread may get any i, so body(i) must not depend on its thread. If calls throw, the exception of the
/// lowest i is rethrown here after all threads have stopped. Works in a forked child too. Throws
/// std::invalid_argument unless 1 <= threads <= kMaxThreads.
///
/// All calls are made in the default floating-point environment, whatever the caller's. `interruption`, if
/// any, must be the calling thread's: it is checked before every call and while the other threads finish
/// theirs. A call that takes long should check it too.
void parallel_for(std::size_t n, int threads, const std::function<void(std::size_t)>& body,
                  Interruption* interruption = nullptr);

}  // namespace semcbir
