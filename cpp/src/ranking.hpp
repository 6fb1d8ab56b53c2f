// SPDX-License-Identifier: MIT
// What every way of searching does with its candidates.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels.hpp"
#include "semcbir/class_terms.hpp"
#include "semcbir/searcher.hpp"
#include "semcbir/signature_view.hpp"
#include "top_k.hpp"

namespace semcbir {

/// Eq. 1 is at most 2, up to rounding: an epsilon from there on filters nothing.
constexpr double kEverything = 2.0;

/// A distance that is NaN, which damaged data can cause, counts as infinity.
double nan_to_infinity(double x);

/// The threshold of the q-th query.
double epsilon_of(const SearchOptions& options, std::size_t q);

/// The squared distance of two signatures, with the weights of the terms, if there are any.
double squared_distance(const Kernels& kernels, const ImageRows& q, const ImageRows& x, std::size_t dim,
                        const ClassTerms* terms);

/// Writes the first k candidates of query q, then -1 and infinity in place of missing ones.
void write_ranking(const std::vector<Candidate>& ranking, std::size_t q, std::size_t k,
                   const SearchOutput& out);

}  // namespace semcbir
