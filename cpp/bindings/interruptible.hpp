// SPDX-License-Identifier: MIT
// Runs the core's long work without the GIL, and stops it at Ctrl-C.
#pragma once

#include <pybind11/pybind11.h>

#include "semcbir/interruption.hpp"

/// Lets Python run the handlers of signals that came, and throws what they raise. Only the main thread runs
/// handlers; in others this says no without waiting for the GIL, once it knows.
class RunSignalHandlers {
 public:
  bool operator()() {
    if (where_ == Where::another_thread) return false;
    const pybind11::gil_scoped_acquire acquire;
    if (where_ == Where::unknown) {
      const auto main_thread = pybind11::module_::import("threading").attr("main_thread")();
      const bool here = main_thread.attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
      where_ = here ? Where::main_thread : Where::another_thread;
    }
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    return false;
  }

 private:
  enum class Where { unknown, main_thread, another_thread };
  Where where_ = Where::unknown;
};

/// Calls work(interrupted) without the GIL.
template <class Work>
void without_gil(const Work& work) {
  const pybind11::gil_scoped_release release;
  work(semcbir::Interrupted(RunSignalHandlers()));
}
