// SPDX-License-Identifier: MIT
#pragma once

#include <pybind11/pybind11.h>

void register_histogram(pybind11::module_& m);
void register_searcher(pybind11::module_& m);
void register_signature(pybind11::module_& m);
void register_simd(pybind11::module_& m);
