// SPDX-License-Identifier: MIT
// The small part of a test framework that these tests need; each program ends with `return test::result();`.
#pragma once

#include <cstdio>
#include <cstring>
#include <string>

namespace test {

inline int failures = 0;

inline void check(bool ok, const char* what, const char* file, int line, const std::string& context) {
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "%s:%d: %s %s\n", file, line, what, context.c_str());
}

/// The same number down to the bits, so that 0 is not -0.
template <class Float>
bool same_bits(Float a, Float b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

/// Whether f() throws an E whose message contains `text`.
template <class E, class F>
bool throws(const F& f, const std::string& text) {
  try {
    f();
  } catch (const E& error) {
    const bool found = std::string(error.what()).find(text) != std::string::npos;
    if (!found) std::fprintf(stderr, "message: %s\n", error.what());
    return found;
  }
  return false;
}

inline int result() {
  if (failures != 0) std::fprintf(stderr, "%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace test

#define CHECK(condition) test::check(condition, #condition, __FILE__, __LINE__, "")
#define CHECK_IN(condition, context) test::check(condition, #condition, __FILE__, __LINE__, context)
