// SPDX-License-Identifier: MIT
#include "semcbir/labelling.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

#include "arrays.hpp"
#include "register.hpp"

namespace py = pybind11;

namespace {

py::array_t<std::uint16_t> upsampled_argmax(py::handle logits, py::handle rows, py::handle columns,
                                            py::handle masked) {
  const auto scores = as_array<float>(logits, "logits", {kAny, kAny, kAny});
  const auto down = as_array<double>(rows, "rows", {kAny});
  const auto across = as_array<double>(columns, "columns", {kAny});
  const auto mask = as_array<std::uint8_t>(masked, "masked", {scores.shape(0)});
  const semcbir::Lattice lattice{scores.data(), static_cast<std::size_t>(scores.shape(0)),
                                 static_cast<std::size_t>(scores.shape(1)),
                                 static_cast<std::size_t>(scores.shape(2)), mask.data()};
  const semcbir::Positions y{down.data(), static_cast<std::size_t>(down.size())};
  const semcbir::Positions x{across.data(), static_cast<std::size_t>(across.size())};
  py::array_t<std::uint16_t> labels({down.size(), across.size()});
  std::uint16_t* data = labels.mutable_data();
  {
    const py::gil_scoped_release release;
    semcbir::upsampled_argmax(lattice, y, x, data);
  }
  return labels;
}

}  // namespace

void register_labelling(py::module_& m) {
  m.def("upsampled_argmax", &upsampled_argmax, py::arg("logits"), py::arg("rows"), py::arg("columns"),
        py::arg("masked"),
        "The channel with the highest interpolated score at each position: uint16 (H, W).");
}
