// SPDX-License-Identifier: MIT
#include <pybind11/pybind11.h>

#include "register.hpp"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The compiled core of semcbir. Private: its interface may change with any version.";
  m.attr("__version__") = SEMCBIR_VERSION;
  register_simd(m);
  register_signature(m);
  register_histogram(m);
  register_searcher(m);
}
