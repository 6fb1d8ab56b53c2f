// SPDX-License-Identifier: MIT
// In a file of its own: the compiler must not move arithmetic across the calls.
#include "float_environment.hpp"

#if defined(SEMCBIR_MXCSR)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

namespace semcbir {

#if defined(SEMCBIR_MXCSR)

namespace {
constexpr unsigned kDefault = 0x1F80;  // no exception traps, round to nearest, nothing flushed to zero
}  // namespace

// std::fesetenv leaves flush-to-zero alone in some libraries.
FloatEnvironment::FloatEnvironment() : before_(_mm_getcsr()) { _mm_setcsr(kDefault); }
FloatEnvironment::~FloatEnvironment() { _mm_setcsr(before_); }

#else

FloatEnvironment::FloatEnvironment() {
  std::fegetenv(&before_);
  std::fesetenv(FE_DFL_ENV);
}
FloatEnvironment::~FloatEnvironment() { std::fesetenv(&before_); }

#endif

}  // namespace semcbir
