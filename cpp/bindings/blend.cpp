// SPDX-License-Identifier: MIT
#include "semcbir/blend.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "arrays.hpp"
#include "interruptible.hpp"
#include "register.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/signature.hpp"

namespace py = pybind11;

namespace {

/// Images from Python: checked, and kept alive as long as this is.
struct OwnedImages {
  OwnedView owned;
  semcbir::CountedView counted;
};

OwnedImages own_images(const py::tuple& columns, py::ssize_t dim, const std::string& prefix) {
  if (columns.size() != 5) {
    throw py::value_error(prefix + "expected (offsets, classes, proportions, counts, centroids), got " +
                          std::to_string(columns.size()) + " arrays");
  }
  OwnedView owned = own_view(columns[0], columns[1], columns[2], prefix);
  const auto counts = as_array<std::uint32_t>(columns[3], prefix + "counts", {owned.arrays[1].size()});
  owned.arrays.push_back(counts);
  own_centroids(owned, columns[4], dim, prefix);
  return {owned, {owned.view, counts.data()}};
}

py::tuple blend(const py::tuple& images, const py::tuple& collection, py::handle neighbours, py::ssize_t dim,
                py::ssize_t k, bool own_proportions, int threads) {
  if (dim < 1) throw py::value_error("dim: expected at least 1, got " + std::to_string(dim));
  if (k < 0) throw py::value_error("k: expected at least 0, got " + std::to_string(k));
  const OwnedImages of = own_images(images, dim, "images: ");
  const OwnedImages from = own_images(collection, dim, "collection: ");
  const auto n = static_cast<py::ssize_t>(of.counted.view.images);
  const auto nearest = as_array<std::int64_t>(neighbours, "neighbours", {n, kAny});
  const semcbir::BlendInput input{of.counted,
                                  from.counted,
                                  nearest.data(),
                                  static_cast<std::size_t>(nearest.shape(1)),
                                  static_cast<std::size_t>(k),
                                  static_cast<std::size_t>(dim),
                                  own_proportions};
  py::array_t<std::int64_t> offsets(n + 1);
  std::int64_t* ends = offsets.mutable_data();
  without_gil([&](const semcbir::Interrupted& interrupted) {
    semcbir::blend_offsets(input, threads, ends, interrupted);
  });
  const auto rows = static_cast<py::ssize_t>(ends[n]);
  py::array_t<std::uint16_t> classes(rows);
  py::array_t<float> proportions(rows);
  py::array_t<std::uint32_t> counts(rows);
  py::array_t<float> centroids({rows, dim});
  const semcbir::SignatureColumns columns{ends, classes.mutable_data(), proportions.mutable_data(),
                                          counts.mutable_data(), centroids.mutable_data()};
  without_gil(
      [&](const semcbir::Interrupted& interrupted) { semcbir::blend(input, threads, columns, interrupted); });
  return py::make_tuple(offsets, classes, proportions, counts, centroids);
}

}  // namespace

void register_blend(py::module_& m) {
  m.def("blend", &blend, py::arg("images"), py::arg("collection"), py::arg("neighbours"), py::arg("dim"),
        py::arg("k"), py::arg("own_proportions"), py::arg("threads"),
        "Columns (offsets, classes, proportions, counts, centroids) of images averaged with neighbours.");
}
