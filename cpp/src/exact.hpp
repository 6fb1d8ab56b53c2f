// SPDX-License-Identifier: MIT
// Rejects compiler settings that would change results: included by every file whose results are defined to
// the bit.
#pragma once

#include <cfloat>

#if defined(__FAST_MATH__)
#error "semcbir's results are defined to the bit: build without -ffast-math"
#endif

static_assert(FLT_EVAL_METHOD == 0, "float and double must be evaluated in their own precision");

// Other compilers take -ffp-contract=off.
#if defined(_MSC_VER) && !defined(__clang__)
#pragma fp_contract(off)
#endif
