// SPDX-License-Identifier: MIT
// The floating-point environment of the core's work, so that its bits do not depend on the caller's.
#pragma once

#if defined(__SSE__) || defined(_M_X64)
#define SEMCBIR_MXCSR
#else
#include <cfenv>
#endif

namespace semcbir {

/// As long as it lives, this thread rounds to nearest and keeps numbers too small to be normal; then it does
/// as before. Callers may have set another rounding or flush-to-zero, which threads of a pool do not share.
class FloatEnvironment {
 public:
  FloatEnvironment();
  ~FloatEnvironment();
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
#if defined(SEMCBIR_MXCSR)
  unsigned before_;
#else
  std::fenv_t before_;
#endif
};

}  // namespace semcbir
