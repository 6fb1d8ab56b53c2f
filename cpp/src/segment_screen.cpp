// SPDX-License-Identifier: MIT
#include "segment_screen.hpp"

#include <memory>

namespace semcbir {

const Screen* SegmentScreen::build(const SignatureView& view, int threads, Interruption& interruption) {
  if (const Screen* built = get()) return built;
  if (building_.exchange(true)) return nullptr;
  try {
    owned_ = std::make_unique<const Screen>(build_screen(view, dim_, threads, interruption));
  } catch (...) {
    building_.store(false);
    throw;
  }
  built_.store(owned_.get(), std::memory_order_release);
  return owned_.get();
}

}  // namespace semcbir
