// SPDX-License-Identifier: MIT
// A query at a block of a screen.
#pragma once

#include <cstddef>
#include <vector>

#include "screen.hpp"
#include "screen_block.hpp"
#include "screen_query.hpp"

namespace semcbir {

/// A class that a query asks about and a segment has.
struct Common {
  const ScreenSummary* summary;
  const ScreenClass* asked;
};

/// A class that a query asks about and a block has.
struct Shared {
  PartView part;
  const ScreenClass* asked;
};

/// A block that a query is to be compared with, and the classes that matter.
struct Visit {
  std::size_t segment = 0;
  std::size_t block = 0;
  std::vector<Shared> shared;
};

}  // namespace semcbir
