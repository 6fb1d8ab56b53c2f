// SPDX-License-Identifier: MIT
#include "semcbir/grid.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "building.hpp"
#include "interruptible.hpp"
#include "register.hpp"
#include "semcbir/interruption.hpp"

namespace py = pybind11;

namespace {

/// Images from Python: checked, and kept alive as long as this is.
struct OwnedImages {
  std::vector<semcbir::GridImage> images;
  std::vector<py::array> arrays;
};

OwnedImages own_images(const py::tuple& label_maps, const py::tuple& grids, py::ssize_t dim) {
  if (grids.size() != label_maps.size()) {
    throw py::value_error("expected as many label maps as grids, got " + std::to_string(label_maps.size()) +
                          " and " + std::to_string(grids.size()));
  }
  OwnedImages owned;
  for (std::size_t i = 0; i < label_maps.size(); ++i) {
    const std::string prefix = "image " + std::to_string(i) + ": ";
    if (!py::isinstance<py::tuple>(grids[i]) || py::len(grids[i]) != 3) {
      throw py::type_error(prefix + "grid: expected a tuple (cells, rows, columns), got " +
                           std::string(py::str(py::type::of(grids[i]).attr("__name__"))));
    }
    const auto grid = py::reinterpret_borrow<py::tuple>(grids[i]);
    const py::array labels = as_label_map(label_maps[i], prefix + "label map");
    const auto cells = as_array<float>(grid[0], prefix + "cells", {kAny, kAny, dim});
    const auto rows = as_array<std::int32_t>(grid[1], prefix + "rows", {labels.shape(0)});
    const auto columns = as_array<std::int32_t>(grid[2], prefix + "columns", {labels.shape(1)});
    semcbir::GridImage image;
    image.labels = labels_of(labels);
    image.height = static_cast<std::size_t>(labels.shape(0));
    image.width = static_cast<std::size_t>(labels.shape(1));
    image.cells = cells.data();
    image.grid_height = static_cast<std::size_t>(cells.shape(0));
    image.grid_width = static_cast<std::size_t>(cells.shape(1));
    image.rows = rows.data();
    image.columns = columns.data();
    owned.images.push_back(image);
    owned.arrays.insert(owned.arrays.end(), {labels, cells, rows, columns});
  }
  return owned;
}

py::tuple build_grid_signatures(const py::list& label_maps, const py::list& grids, py::ssize_t dim,
                                py::ssize_t n_classes, std::int32_t void_label, bool whole, int threads) {
  const semcbir::GridSpec spec{{positive(n_classes, "n_classes"), void_label, positive(dim, "dim")}, whole};
  // Tuples, since another thread may change a list while it is read.
  const OwnedImages owned = own_images(py::tuple(label_maps), py::tuple(grids), dim);
  std::vector<semcbir::ImageSignature> signatures;
  without_gil([&](const semcbir::Interrupted& interrupted) {
    signatures = semcbir::build_grid_signatures(owned.images, spec, threads, interrupted);
  });
  return as_columns(signatures, spec.signature.dim);
}

}  // namespace

void register_grid(py::module_& m) {
  m.def("build_grid_signatures", &build_grid_signatures, py::arg("label_maps"), py::arg("grids"),
        py::arg("dim"), py::arg("n_classes"), py::arg("void"), py::arg("whole"), py::arg("threads"),
        "Columns (offsets, classes, proportions, counts, centroids) of the signatures of images with grids.");
}
