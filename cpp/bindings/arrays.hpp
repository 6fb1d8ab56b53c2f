// SPDX-License-Identifier: MIT
// Checks NumPy arrays that come from Python and passes their memory to the core without copying.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "semcbir/signature_view.hpp"

/// In a shape, a dimension of any size.
constexpr pybind11::ssize_t kAny = -1;

/// `object` as an aligned, C-contiguous array of T of that shape. Raises TypeError or ValueError, saying what
/// was expected and what was given. Never copies.
template <class T>
pybind11::array_t<T> as_array(pybind11::handle object, const std::string& name,
                              const std::vector<pybind11::ssize_t>& shape);

extern template pybind11::array_t<float> as_array(pybind11::handle, const std::string&,
                                                  const std::vector<pybind11::ssize_t>&);
extern template pybind11::array_t<double> as_array(pybind11::handle, const std::string&,
                                                   const std::vector<pybind11::ssize_t>&);
extern template pybind11::array_t<std::int32_t> as_array(pybind11::handle, const std::string&,
                                                         const std::vector<pybind11::ssize_t>&);
extern template pybind11::array_t<std::uint32_t> as_array(pybind11::handle, const std::string&,
                                                          const std::vector<pybind11::ssize_t>&);
extern template pybind11::array_t<std::int64_t> as_array(pybind11::handle, const std::string&,
                                                         const std::vector<pybind11::ssize_t>&);
extern template pybind11::array_t<std::uint8_t> as_array(pybind11::handle, const std::string&,
                                                         const std::vector<pybind11::ssize_t>&);
extern template pybind11::array_t<std::uint16_t> as_array(pybind11::handle, const std::string&,
                                                          const std::vector<pybind11::ssize_t>&);

/// Columns of signatures from Python: checked, and kept alive as long as this is.
struct OwnedView {
  semcbir::SignatureView view;
  std::vector<pybind11::array> arrays;
};

/// Checks offsets and classes, which are below `n_classes`.
OwnedView own_rows(pybind11::handle offsets, pybind11::handle classes, std::size_t n_classes,
                   const std::string& prefix);

/// Checks offsets, classes and proportions; the caller adds any further columns.
OwnedView own_view(pybind11::handle offsets, pybind11::handle classes, pybind11::handle proportions,
                   const std::string& prefix);

/// Adds centroids of `dim` entries to a view.
void own_centroids(OwnedView& owned, pybind11::handle centroids, pybind11::ssize_t dim,
                   const std::string& prefix);
