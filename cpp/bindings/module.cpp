// SPDX-License-Identifier: MIT
#include <pybind11/pybind11.h>

#include "register.hpp"

// Nothing here relies on the GIL. All that calls share is the SIMD level and the flag of a forked child,
// which are atomic, tables that never change, and a Searcher, which does not change once it is made. Lists
// are copied to tuples before they are read. Arrays are read without the GIL in any case, so nobody may write
// to them meanwhile.
PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  m.doc() = "The compiled core of semcbir. Private: its interface may change with any version.";
  m.attr("__version__") = SEMCBIR_VERSION;
  register_simd(m);
  register_labelling(m);
  register_signature(m);
  register_grid(m);
  register_weighting(m);
  register_histogram(m);
  register_blend(m);
  register_searcher(m);
}
