// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "screen.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/signature_view.hpp"

namespace semcbir {

/// The screen of a segment, once it is built. Searchers over the same segment share it, whichever images of
/// the segment are removed for them.
class SegmentScreen {
 public:
  SegmentScreen(std::size_t images, std::size_t dim) : images_(images), dim_(dim) {}

  std::size_t images() const { return images_; }
  std::size_t dim() const { return dim_; }

  /// The screen, or null before it is built.
  const Screen* get() const { return built_.load(std::memory_order_acquire); }

  /// The screen, which is built if it is not there; null while another thread builds it. There is no lock
  /// that a forked child could inherit while it is held.
  const Screen* build(const SignatureView& view, int threads, Interruption& interruption);

  /// Adds to the number of queries that have been asked of the segment, and returns it.
  std::size_t add_queries(std::size_t queries) {
    return asked_.fetch_add(queries, std::memory_order_relaxed) + queries;
  }

  /// Bytes of memory, 0 before the screen is built.
  std::size_t bytes() const { return get() == nullptr ? 0 : get()->bytes(); }

 private:
  const std::size_t images_;
  const std::size_t dim_;
  std::atomic<std::size_t> asked_{0};
  std::atomic<bool> building_{false};
  std::unique_ptr<const Screen> owned_;
  std::atomic<const Screen*> built_{nullptr};
};

}  // namespace semcbir
