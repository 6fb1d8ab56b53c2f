// SPDX-License-Identifier: MIT
// What the bindings of all builders of signatures share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "semcbir/signature.hpp"

/// `object` as a label map (H, W) of uint8 or uint16; see as_array.
pybind11::array as_label_map(pybind11::handle object, const std::string& name);

/// The labels of such a map.
std::variant<const std::uint8_t*, const std::uint16_t*> labels_of(const pybind11::array& label_map);

/// `value`, which must be at least 1.
std::size_t positive(pybind11::ssize_t value, const char* name);

/// The columns (offsets, classes, proportions, counts, centroids) of signatures with `dim` entries per row.
pybind11::tuple as_columns(const std::vector<semcbir::ImageSignature>& signatures, std::size_t dim);
