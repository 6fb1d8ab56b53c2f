// SPDX-License-Identifier: MIT
#include "kernels.hpp"

#if defined(__AVX512F__)

#include "kernels_avx2_screen.hpp"
#include "kernels_avx512_distance.hpp"
#include "kernels_impl.hpp"

namespace semcbir {
namespace {

const Kernels kernels{
    squared_distance<Avx512>, weighted_squared_distance<Avx512>, scaled_squared_distance<Avx512>,
    Avx2Screen::row_products, Avx2Screen::add_row_terms,         Avx2Screen::add_minima,
    Avx2Screen::add_products, Avx2Screen::add_parabolas,         Avx2Screen::at_least,
    Avx2Screen::clear_above};

}  // namespace

const Kernels* const kernels_avx512 = &kernels;

}  // namespace semcbir

#else

const semcbir::Kernels* const semcbir::kernels_avx512 = nullptr;

#endif
