// SPDX-License-Identifier: MIT
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "semcbir/simd.hpp"

namespace {

void set_environment(const char* value) {
#if defined(_WIN32)
  _putenv_s("SEMCBIR_SIMD", value);
#else
  setenv("SEMCBIR_SIMD", value, 1);
#endif
}

void test_levels() {
  CHECK(semcbir::simd_levels().front() == semcbir::SimdLevel::baseline);
  CHECK(semcbir::simd_level() == semcbir::simd_levels().back());
  for (const semcbir::SimdLevel level : semcbir::simd_levels()) {
    semcbir::set_simd_level(semcbir::simd_name(level));
    CHECK(semcbir::simd_level() == level);
  }
#if defined(__aarch64__) || defined(_M_ARM64)
  CHECK(semcbir::simd_levels().back() == semcbir::SimdLevel::neon);
#endif
}

void test_unknown_level() {
  const semcbir::SimdLevel before = semcbir::simd_level();
  CHECK(test::throws<std::invalid_argument>([] { semcbir::set_simd_level("sse9"); },
                                            "expected one of those usable here (baseline"));
  CHECK(semcbir::simd_level() == before);
}

void test_environment() {
  semcbir::set_simd_level(semcbir::simd_name(semcbir::simd_levels().back()));
  set_environment("");
  semcbir::set_simd_level_from_environment();
  CHECK(semcbir::simd_level() == semcbir::simd_levels().back());
  set_environment("baseline");
  semcbir::set_simd_level_from_environment();
  CHECK(semcbir::simd_level() == semcbir::SimdLevel::baseline);
  set_environment("fast");
  CHECK(test::throws<std::invalid_argument>([] { semcbir::set_simd_level_from_environment(); },
                                            "environment variable SEMCBIR_SIMD: SIMD level"));
}

}  // namespace

int main() {
  test_levels();
  test_unknown_level();
  test_environment();
  return test::result();
}
