// SPDX-License-Identifier: MIT
// The memory of a block of a screen: one piece, in the order in which a search reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "block_images.hpp"

namespace semcbir {

/// Classes that fewer images of a block have get no column there.
constexpr std::size_t kFewestForColumn = 16;
/// The smallest multiple of `unit` that is at least x.
constexpr std::size_t rounded_up_to(std::size_t x, std::size_t unit) { return (x + unit - 1) / unit * unit; }

/// Bytes of a row of `dim` entries: lines, or a part of one.
constexpr std::size_t row_width(std::size_t dim) {
  return dim <= 16 ? 16 : dim <= 32 ? 32 : rounded_up_to(dim, kLine);
}

/// Memory that starts at a cache line; in large pages if it is large, since blocks are read here and there.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(std::size_t size);
  std::uint8_t* data() { return bytes_.get(); }
  const std::uint8_t* data() const { return bytes_.get(); }
  std::size_t size() const { return size_; }

 private:
  struct Free {
    std::align_val_t alignment;
    void operator()(std::uint8_t* bytes) const { ::operator delete(bytes, alignment); }
  };
  std::unique_ptr<std::uint8_t, Free> bytes_{nullptr, Free{std::align_val_t{kLine}}};
  std::size_t size_ = 0;
};

/// Where a class's columns and rows are in a block's memory. In one word: there is one of each class and
/// block.
class ScreenPart {
 public:
  ScreenPart() = default;
  ScreenPart(std::size_t offset, std::size_t rows) : word_(std::uint64_t{offset} << 16U | rows) {}

  std::size_t offset() const { return word_ >> 16U; }
  /// At most kBlockImages; 0: the block lacks the class.
  std::size_t rows() const { return word_ & 0xffffU; }

 private:
  std::uint64_t word_ = 0;
};

/// The columns and rows of a class in a block. Rows are by image, ascending.
///
/// Classes of kFewestForColumn rows or more have columns over all images of the block, by place (0 where the
/// class is absent): shares, norms; and a bit for each image that has the class, with the number of rows
/// before each 16 images; their rows are stored as what they are off a center, which is the last row. Others
/// have shares, norms and places by row. Steps and entries follow.
class PartView {
 public:
  PartView(const std::uint8_t* block, const ScreenPart& part)
      : bytes_(block + part.offset()), rows_(part.rows()) {}

  std::size_t rows() const { return rows_; }
  bool has_columns() const { return rows_ >= kFewestForColumn; }

  /// In steps, rounded up.
  const std::uint16_t* shares() const { return at<std::uint16_t>(0); }
  /// In steps of the screen, rounded up.
  const std::uint16_t* norms() const { return at<std::uint16_t>(column_bytes(rows_)); }
  /// Which image each row belongs to, if there are no columns.
  const std::uint8_t* places() const { return at<std::uint8_t>(2 * column_bytes(rows_)); }
  /// A bit for each image that has the class, if there are columns.
  const std::uint16_t* present() const { return at<std::uint16_t>(2 * column_bytes(rows_)); }
  /// The number of rows before the images of each of these masks.
  const std::uint8_t* before() const {
    return at<std::uint8_t>(2 * column_bytes(rows_) + sizeof(std::uint16_t) * kMasks);
  }
  /// Of each row: what one step of its entries is, and the norm of what they leave out, rounded up; both as
  /// bfloat16, in the upper and in the lower half. See row_scale, row_error.
  const std::uint32_t* steps() const { return at<std::uint32_t>(steps_start(rows_)); }
  /// Rows of `width` entries each, in steps.
  const std::int8_t* entries() const { return at<std::int8_t>(entries_start(rows_)); }

  const std::uint8_t* begin() const { return bytes_; }

  /// Bytes of a class with so many rows, which starts at a multiple of alignment().
  static std::size_t size(std::size_t rows, std::size_t width) {
    return entries_start(rows) + stored_rows(rows) * width;
  }
  static std::size_t alignment(std::size_t rows) {
    return rows >= kFewestForColumn ? kLine : sizeof(std::uint32_t);
  }

 private:
  template <class T>
  const T* at(std::size_t offset) const {
    return reinterpret_cast<const T*>(bytes_ + offset);
  }

  static std::size_t column_bytes(std::size_t rows) {
    return sizeof(std::uint16_t) * (rows >= kFewestForColumn ? kBlockImages : rows);
  }

  /// With columns there is a center, which comes last.
  static std::size_t stored_rows(std::size_t rows) { return rows + (rows >= kFewestForColumn ? 1 : 0); }

  static std::size_t steps_start(std::size_t rows) {
    const std::size_t which = rows >= kFewestForColumn ? (sizeof(std::uint16_t) + 1) * kMasks : rows;
    return rounded_up_to(2 * column_bytes(rows) + which, alignment(rows));
  }

  static std::size_t entries_start(std::size_t rows) {
    return rounded_up_to(steps_start(rows) + sizeof(std::uint32_t) * stored_rows(rows), alignment(rows));
  }

  const std::uint8_t* bytes_;
  std::size_t rows_;
};

/// Up to kBlockImages images, class by class.
struct ScreenBlock {
  std::size_t first = 0;  ///< in the screen's order
  std::size_t images = 0;
  float slack = 0;                       ///< what rounding can add to a bound from above, over all images
  float shortest = 0;                    ///< the smallest of lengths
  std::uint16_t unsure[kMasks] = {};     ///< a bit for each image: eq. 1 must be computed
  const std::uint8_t* memory = nullptr;  ///< lengths, then the classes' parts

  /// Of each image: |x|^2 less all rounding; -infinity: always a candidate.
  const float* lengths() const { return reinterpret_cast<const float*>(memory); }
};

}  // namespace semcbir
