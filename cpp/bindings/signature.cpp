// SPDX-License-Identifier: MIT
#include "semcbir/signature.hpp"

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
  std::vector<semcbir::LabelledImage> images;
  std::vector<py::array> arrays;
};

semcbir::LabelledImage as_image(const py::array& labels, const py::array_t<float>& keypoints,
                                const py::array_t<float>& descriptors) {
  semcbir::LabelledImage image;
  image.labels = labels_of(labels);
  image.height = static_cast<std::size_t>(labels.shape(0));
  image.width = static_cast<std::size_t>(labels.shape(1));
  image.keypoints = keypoints.data();
  image.descriptors = descriptors.data();
  image.keypoint_count = static_cast<std::size_t>(keypoints.shape(0));
  return image;
}

OwnedImages own_images(const py::tuple& label_maps, const py::tuple& keypoints, const py::tuple& descriptors,
                       py::ssize_t dim) {
  const std::size_t n = label_maps.size();
  if (keypoints.size() != n || descriptors.size() != n) {
    throw py::value_error("expected as many label maps as keypoint arrays and as descriptor arrays, got " +
                          std::to_string(n) + ", " + std::to_string(keypoints.size()) + " and " +
                          std::to_string(descriptors.size()));
  }
  OwnedImages owned;
  for (std::size_t i = 0; i < n; ++i) {
    const std::string prefix = "image " + std::to_string(i) + ": ";
    const py::array labels = as_label_map(label_maps[i], prefix + "label map");
    const auto points = as_array<float>(keypoints[i], prefix + "keypoints", {kAny, 2});
    const auto vectors = as_array<float>(descriptors[i], prefix + "descriptors", {points.shape(0), dim});
    owned.images.push_back(as_image(labels, points, vectors));
    owned.arrays.insert(owned.arrays.end(), {labels, points, vectors});
  }
  return owned;
}

py::tuple build_signatures(const py::list& label_maps, const py::list& keypoints, const py::list& descriptors,
                           py::ssize_t dim, py::ssize_t n_classes, std::int32_t void_label, int threads) {
  const semcbir::SignatureSpec spec{positive(n_classes, "n_classes"), void_label, positive(dim, "dim")};
  // Tuples, since another thread may change a list while it is read.
  const OwnedImages owned =
      own_images(py::tuple(label_maps), py::tuple(keypoints), py::tuple(descriptors), dim);
  std::vector<semcbir::ImageSignature> signatures;
  without_gil([&](const semcbir::Interrupted& interrupted) {
    signatures = semcbir::build_signatures(owned.images, spec, threads, interrupted);
  });
  return as_columns(signatures, spec.dim);
}

void check_rows(py::handle offsets, py::handle classes, py::ssize_t n_classes) {
  own_rows(offsets, classes, positive(n_classes, "n_classes"), "");
}

}  // namespace

void register_signature(py::module_& m) {
  m.def("check_rows", &check_rows, py::arg("offsets"), py::arg("classes"), py::arg("n_classes"),
        "Raises ValueError unless offsets and classes describe rows that are safe to walk.");
  m.def("build_signatures", &build_signatures, py::arg("label_maps"), py::arg("keypoints"),
        py::arg("descriptors"), py::arg("dim"), py::arg("n_classes"), py::arg("void"), py::arg("threads"),
        "Columns (offsets, classes, proportions, counts, centroids) of the signatures of images.");
}
