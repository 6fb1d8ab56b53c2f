// SPDX-License-Identifier: MIT
#include "semcbir/simd.hpp"

#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "register.hpp"
#include "semcbir/parallel.hpp"

namespace py = pybind11;

void register_simd(py::module_& m) {
  try {
    semcbir::set_simd_level_from_environment();
  } catch (const std::invalid_argument& error) {
    throw py::import_error(error.what());
  }
  m.attr("openmp") = semcbir::openmp_enabled();
  m.def(
      "simd_levels",
      [] {
        py::list names;
        for (const semcbir::SimdLevel level : semcbir::simd_levels()) names.append(semcbir::simd_name(level));
        return names;
      },
      "Names of the SIMD levels that are usable here, worst to best.");
  m.def(
      "simd_level", [] { return std::string(semcbir::simd_name(semcbir::simd_level())); },
      "Name of the SIMD level in use.");
  m.def("set_simd_level", &semcbir::set_simd_level, py::arg("name"),
        "Use the SIMD level of that name; ValueError if it is not usable here.");
}
