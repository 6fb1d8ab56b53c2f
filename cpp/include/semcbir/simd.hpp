// SPDX-License-Identifier: MIT
// Finds out which instruction sets are usable here and selects the one to use.
#pragma once

#include <string>
#include <vector>

namespace semcbir {

/// Instruction sets that the distance kernel is written for. All give the same bits.
enum class SimdLevel { baseline, avx2, avx512, avx512vnni, neon };

/// "baseline", "avx2", "avx512", "avx512vnni" or "neon".
const char* simd_name(SimdLevel level);

/// The levels that are compiled in and that this processor and operating system support, worst to best.
const std::vector<SimdLevel>& simd_levels();

/// The level in use: the best one until set_simd_level is called.
SimdLevel simd_level();

/// Uses the level of that name from the next call on. Throws std::invalid_argument, naming the usable levels,
/// if there is no such level here.
void set_simd_level(const std::string& name);

/// Uses the level that the environment variable SEMCBIR_SIMD names, if it is set and not empty. Throws
/// std::invalid_argument, naming the variable, if there is no such level here.
void set_simd_level_from_environment();

}  // namespace semcbir
