// SPDX-License-Identifier: MIT
#include "arrays.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "semcbir/signature_view.hpp"

namespace py = pybind11;

namespace {

std::string shape_text(const std::vector<py::ssize_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + (shape[i] == kAny ? std::string("any") : std::to_string(shape[i]));
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::vector<py::ssize_t> shape_of(const py::array& array) {
  return {array.shape(), array.shape() + array.ndim()};
}

bool fits(const py::array& array, const std::vector<py::ssize_t>& shape) {
  if (static_cast<std::size_t>(array.ndim()) != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != kAny && array.shape(static_cast<py::ssize_t>(i)) != shape[i]) return false;
  }
  return true;
}

/// Memory-mapped columns may lie at any address, but the core reads aligned numbers only.
bool aligned_and_contiguous(const py::array& array) {
  constexpr int needed = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  return (array.flags() & needed) == needed;
}

}  // namespace

template <class T>
py::array_t<T> as_array(py::handle object, const std::string& name, const std::vector<py::ssize_t>& shape) {
  const auto dtype = [] { return std::string(py::str(py::dtype::of<T>())); };  // its name takes a while
  if (!py::isinstance<py::array>(object)) {
    throw py::type_error(name + ": expected a NumPy array of " + dtype() + ", got " +
                         std::string(py::str(py::type::of(object).attr("__name__"))));
  }
  const auto array = py::reinterpret_borrow<py::array>(object);
  if (!py::isinstance<py::array_t<T>>(object)) {
    throw py::type_error(name + ": expected dtype " + dtype() + ", got " +
                         std::string(py::str(array.dtype())));
  }
  if (!fits(array, shape)) {
    throw py::value_error(name + ": expected shape " + shape_text(shape) + ", got " +
                          shape_text(shape_of(array)));
  }
  if (!aligned_and_contiguous(array))
    throw py::value_error(name + ": expected a C-contiguous and aligned array, got one that is not");
  return py::reinterpret_borrow<py::array_t<T>>(object);
}

template py::array_t<float> as_array(py::handle, const std::string&, const std::vector<py::ssize_t>&);
template py::array_t<double> as_array(py::handle, const std::string&, const std::vector<py::ssize_t>&);
template py::array_t<std::int32_t> as_array(py::handle, const std::string&, const std::vector<py::ssize_t>&);
template py::array_t<std::uint32_t> as_array(py::handle, const std::string&, const std::vector<py::ssize_t>&);
template py::array_t<std::int64_t> as_array(py::handle, const std::string&, const std::vector<py::ssize_t>&);
template py::array_t<std::uint8_t> as_array(py::handle, const std::string&, const std::vector<py::ssize_t>&);
template py::array_t<std::uint16_t> as_array(py::handle, const std::string&, const std::vector<py::ssize_t>&);

OwnedView own_rows(py::handle offsets, py::handle classes, std::size_t n_classes, const std::string& prefix) {
  const auto offsets_array = as_array<std::int64_t>(offsets, prefix + "offsets", {kAny});
  if (offsets_array.size() == 0) {
    throw py::value_error(prefix +
                          "offsets: expected at least one entry (one more than the images), got none");
  }
  const auto classes_array = as_array<std::uint16_t>(classes, prefix + "classes", {kAny});
  OwnedView owned;
  owned.view.images = static_cast<std::size_t>(offsets_array.size() - 1);
  owned.view.offsets = offsets_array.data();
  owned.view.classes = classes_array.data();
  owned.arrays = {offsets_array, classes_array};
  try {
    semcbir::check_rows(owned.view, static_cast<std::size_t>(classes_array.size()), n_classes);
  } catch (const std::invalid_argument& error) {
    throw py::value_error(prefix + error.what());
  }
  return owned;
}

OwnedView own_view(py::handle offsets, py::handle classes, py::handle proportions,
                   const std::string& prefix) {
  OwnedView owned = own_rows(offsets, classes, semcbir::kMaxClasses, prefix);
  const auto array = as_array<float>(proportions, prefix + "proportions", {owned.arrays[1].size()});
  owned.view.proportions = array.data();
  owned.arrays.push_back(array);
  return owned;
}

void own_centroids(OwnedView& owned, py::handle centroids, py::ssize_t dim, const std::string& prefix) {
  const py::ssize_t rows = owned.arrays[1].size();
  const auto array = as_array<float>(centroids, prefix + "centroids", {rows, dim});
  owned.view.centroids = array.data();
  owned.arrays.push_back(array);
}
