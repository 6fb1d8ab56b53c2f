// SPDX-License-Identifier: MIT
// One function per topic, each of which adds its part of the interface to the Python module.
#pragma once

#include <pybind11/pybind11.h>

void register_blend(pybind11::module_& m);
void register_grid(pybind11::module_& m);
void register_histogram(pybind11::module_& m);
void register_labelling(pybind11::module_& m);
void register_searcher(pybind11::module_& m);
void register_signature(pybind11::module_& m);
void register_simd(pybind11::module_& m);
void register_weighting(pybind11::module_& m);
