// SPDX-License-Identifier: MIT
#include "semcbir/histogram.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "arrays.hpp"
#include "interruptible.hpp"
#include "register.hpp"
#include "semcbir/interruption.hpp"

namespace py = pybind11;

namespace {

OwnedView own_histograms(const py::tuple& columns, const std::string& prefix) {
  if (columns.size() != 3) {
    throw py::value_error(prefix + "expected (offsets, classes, proportions), got " +
                          std::to_string(columns.size()) + " arrays");
  }
  return own_view(columns[0], columns[1], columns[2], prefix);
}

py::array_t<double> histogram_distances(const py::tuple& queries, const py::tuple& segment, int threads) {
  const OwnedView q = own_histograms(queries, "queries: ");
  const OwnedView x = own_histograms(segment, "segment: ");
  py::array_t<double> out({q.view.images, x.view.images});
  double* data = out.mutable_data();
  without_gil([&](const semcbir::Interrupted& interrupted) {
    semcbir::histogram_distances(q.view, x.view, data, threads, interrupted);
  });
  return out;
}

}  // namespace

void register_histogram(py::module_& m) {
  m.def("histogram_distances", &histogram_distances, py::arg("queries"), py::arg("segment"),
        py::arg("threads"),
        "Histogram distances (eq. 1) between two sets of images, each (offsets, classes, proportions): "
        "float64\n"
        "(queries, images).");
}
