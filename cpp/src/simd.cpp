// SPDX-License-Identifier: MIT
#include "semcbir/simd.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.hpp"

#if defined(_MSC_VER) && !defined(__clang__) && defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace semcbir {
namespace {

#if defined(_MSC_VER) && !defined(__clang__) && defined(_M_X64)

/// The extended state components that the operating system saves, 0 where it saves none.
unsigned long long saved_state() {
  int regs[4];
  __cpuid(regs, 1);
  const bool osxsave = (regs[2] >> 27 & 1) != 0;
  return osxsave ? _xgetbv(0) : 0;
}

int leaf7_ebx() {
  int regs[4];
  __cpuid(regs, 0);
  if (regs[0] < 7) return 0;
  __cpuidex(regs, 7, 0);
  return regs[1];
}

bool cpu_has_avx2() { return (saved_state() & 0x6) == 0x6 && (leaf7_ebx() >> 5 & 1) != 0; }

bool cpu_has_avx512() {
  // /arch:AVX512 lets the compiler use F, DQ, CD, BW and VL.
  const unsigned needed = 1U << 16 | 1U << 17 | 1U << 28 | 1U << 30 | 1U << 31;
  return (saved_state() & 0xE6) == 0xE6 && (static_cast<unsigned>(leaf7_ebx()) & needed) == needed;
}

bool cpu_has_vnni() {
  if (!cpu_has_avx512()) return false;
  int regs[4];
  __cpuidex(regs, 7, 0);
  return (regs[2] >> 11 & 1) != 0;
}

#elif defined(__x86_64__) || defined(_M_X64)

// These include the check that the operating system saves the registers.
bool cpu_has_avx2() { return __builtin_cpu_supports("avx2") != 0; }
bool cpu_has_avx512() { return __builtin_cpu_supports("avx512f") != 0; }

bool cpu_has_vnni() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512vnni") != 0;
}

#else

bool cpu_has_avx2() { return false; }
bool cpu_has_avx512() { return false; }
bool cpu_has_vnni() { return false; }

#endif

const Kernels* kernels_of(SimdLevel level) {
  switch (level) {
    case SimdLevel::avx2:
      return kernels_avx2;
    case SimdLevel::avx512:
      return kernels_avx512;
    case SimdLevel::avx512vnni:
      return kernels_avx512vnni;
    case SimdLevel::neon:
      return kernels_neon;
    case SimdLevel::baseline:
      break;
  }
  return kernels_baseline;
}

std::vector<SimdLevel> find_levels() {
  std::vector<SimdLevel> levels{SimdLevel::baseline};
  if (kernels_avx2 != nullptr && cpu_has_avx2()) levels.push_back(SimdLevel::avx2);
  if (kernels_avx512 != nullptr && cpu_has_avx512()) levels.push_back(SimdLevel::avx512);
  if (kernels_avx512vnni != nullptr && cpu_has_vnni()) levels.push_back(SimdLevel::avx512vnni);
  if (kernels_neon != nullptr) levels.push_back(SimdLevel::neon);
  return levels;
}

std::atomic<SimdLevel>& current_level() {
  static std::atomic<SimdLevel> level{simd_levels().back()};
  return level;
}

}  // namespace

const char* simd_name(SimdLevel level) {
  switch (level) {
    case SimdLevel::avx2:
      return "avx2";
    case SimdLevel::avx512:
      return "avx512";
    case SimdLevel::avx512vnni:
      return "avx512vnni";
    case SimdLevel::neon:
      return "neon";
    case SimdLevel::baseline:
      break;
  }
  return "baseline";
}

const std::vector<SimdLevel>& simd_levels() {
  static const std::vector<SimdLevel> levels = find_levels();
  return levels;
}

SimdLevel simd_level() { return current_level().load(); }

void set_simd_level(const std::string& name) {
  std::string usable;
  for (const SimdLevel level : simd_levels()) {
    if (name == simd_name(level)) {
      current_level().store(level);
      return;
    }
    usable += (usable.empty() ? "" : ", ") + std::string(simd_name(level));
  }
  throw std::invalid_argument("SIMD level: expected one of those usable here (" + usable + "), got '" + name +
                              "'");
}

void set_simd_level_from_environment() {
  const char* value = std::getenv("SEMCBIR_SIMD");
  if (value == nullptr || *value == '\0') return;
  try {
    set_simd_level(value);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument("environment variable SEMCBIR_SIMD: " + std::string(error.what()));
  }
}

const Kernels& active_kernels() { return *kernels_of(simd_level()); }

}  // namespace semcbir
