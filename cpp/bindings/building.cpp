// SPDX-License-Identifier: MIT
#include "building.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "arrays.hpp"
#include "semcbir/signature.hpp"

namespace py = pybind11;

py::array as_label_map(py::handle object, const std::string& name) {
  if (py::isinstance<py::array_t<std::uint8_t>>(object))
    return as_array<std::uint8_t>(object, name, {kAny, kAny});
  if (py::isinstance<py::array_t<std::uint16_t>>(object))
    return as_array<std::uint16_t>(object, name, {kAny, kAny});
  const py::object given = py::isinstance<py::array>(object)
                               ? py::object(object.attr("dtype"))
                               : py::object(py::type::of(object).attr("__name__"));
  throw py::type_error(name + ": expected a NumPy array of uint8 or uint16, got " +
                       std::string(py::str(given)));
}

std::variant<const std::uint8_t*, const std::uint16_t*> labels_of(const py::array& label_map) {
  if (label_map.itemsize() == 1) return static_cast<const std::uint8_t*>(label_map.data());
  return static_cast<const std::uint16_t*>(label_map.data());
}

std::size_t positive(py::ssize_t value, const char* name) {
  if (value < 1)
    throw py::value_error(std::string(name) + ": expected at least 1, got " + std::to_string(value));
  return static_cast<std::size_t>(value);
}

py::tuple as_columns(const std::vector<semcbir::ImageSignature>& signatures, std::size_t dim) {
  const std::size_t rows = semcbir::count_rows(signatures);
  py::array_t<std::int64_t> offsets(signatures.size() + 1);
  py::array_t<std::uint16_t> classes(rows);
  py::array_t<float> proportions(rows);
  py::array_t<std::uint32_t> counts(rows);
  py::array_t<float> centroids({rows, dim});
  const semcbir::SignatureColumns columns{offsets.mutable_data(), classes.mutable_data(),
                                          proportions.mutable_data(), counts.mutable_data(),
                                          centroids.mutable_data()};
  {
    const py::gil_scoped_release release;
    semcbir::write_columns(signatures, columns);
  }
  return py::make_tuple(offsets, classes, proportions, counts, centroids);
}
