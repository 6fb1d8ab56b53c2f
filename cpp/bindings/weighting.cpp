// SPDX-License-Identifier: MIT
#include "semcbir/weighting.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

#include "arrays.hpp"
#include "building.hpp"
#include "interruptible.hpp"
#include "register.hpp"
#include "semcbir/interruption.hpp"

namespace py = pybind11;

namespace {

py::array_t<float> weight_rows(py::handle classes, py::handle proportions, py::handle centroids,
                               py::ssize_t n_classes, double whole_share, int threads) {
  const auto of_rows = as_array<std::uint16_t>(classes, "classes", {kAny});
  const std::size_t whole_row = positive(n_classes, "n_classes");
  const py::ssize_t count = of_rows.size();
  const auto shares = as_array<float>(proportions, "proportions", {count});
  const auto vectors = as_array<float>(centroids, "centroids", {count, kAny});
  const semcbir::Rows rows{static_cast<std::size_t>(count), of_rows.data(), shares.data(), vectors.data(),
                           static_cast<std::size_t>(vectors.shape(1))};
  py::array_t<float> out({count, vectors.shape(1)});
  float* data = out.mutable_data();
  without_gil([&](const semcbir::Interrupted& interrupted) {
    semcbir::weight_rows(rows, whole_row, whole_share, data, threads, interrupted);
  });
  return out;
}

}  // namespace

void register_weighting(py::module_& m) {
  m.def("weight_rows", &weight_rows, py::arg("classes"), py::arg("proportions"), py::arg("centroids"),
        py::arg("n_classes"), py::arg("whole_share"), py::arg("threads"),
        "Centroids at lengths that the classes' proportions decide: float32 (rows, dim).");
}
