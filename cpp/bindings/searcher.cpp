// SPDX-License-Identifier: MIT
#include "semcbir/searcher.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "interruptible.hpp"
#include "register.hpp"
#include "semcbir/class_find.hpp"
#include "semcbir/class_terms.hpp"
#include "semcbir/interruption.hpp"
#include "semcbir/signature_view.hpp"

namespace py = pybind11;

namespace {

/// What the core knows of a segment, for other searchers.
struct PySegmentScreen {
  std::shared_ptr<semcbir::SegmentScreen> core;
};

/// By segment; None: nothing is known.
using Screens = std::vector<std::optional<PySegmentScreen>>;

std::vector<std::shared_ptr<semcbir::SegmentScreen>> known(const Screens& screens) {
  std::vector<std::shared_ptr<semcbir::SegmentScreen>> found;
  for (const auto& screen : screens) found.push_back(screen ? screen->core : nullptr);
  return found;
}

/// (weights: (label, weight), others, needed, min_share, barred, max_share, unit_rows)
using Terms = std::tuple<std::vector<std::pair<std::uint16_t, double>>, double, std::vector<std::uint16_t>,
                         double, std::vector<std::uint16_t>, double, bool>;

std::optional<semcbir::ClassTerms> class_terms(const std::optional<Terms>& terms) {
  if (!terms) return std::nullopt;
  const auto& [weights, others, needed, min_share, barred, max_share, unit_rows] = *terms;
  semcbir::ClassTerms found{{}, others, needed, min_share, barred, max_share, unit_rows};
  for (const auto& [label, weight] : weights) found.weights.push_back({label, weight});
  return found;
}

/// The memory of an array that a search writes to. Raises ValueError unless it is float64 (rows, columns).
double* output_array(const py::array& array, const char* name, py::ssize_t rows, py::ssize_t columns) {
  using Doubles = py::array_t<double, py::array::c_style>;
  const bool fits = Doubles::check_(array) && array.writeable() && array.ndim() == 2 &&
                    array.shape(0) == rows && array.shape(1) == columns;
  if (!fits) {
    throw py::value_error(std::string(name) + ": expected a writable array, float64 (" +
                          std::to_string(rows) + ", " + std::to_string(columns) + ") in C order");
  }
  return static_cast<double*>(py::array(array).mutable_data());
}

/// (labels, share or None)
using Asked = std::pair<std::vector<std::uint16_t>, std::optional<double>>;

/// The core's searcher and the arrays that it reads.
class PySearcher {
 public:
  // A tuple, since another thread may change a list while it is read.
  PySearcher(const py::list& segments, py::ssize_t dim, const std::optional<Screens>& screens)
      : arrays_(), core_(own_segments(py::tuple(segments), dim, screens.value_or(Screens()))) {}

  py::tuple search(py::handle offsets, py::handle classes, py::handle proportions, py::handle centroids,
                   py::ssize_t k, std::optional<double> epsilon, bool drop, int threads,
                   std::optional<bool> screened, py::handle epsilons, const std::optional<Terms>& terms,
                   const std::optional<py::array>& squared) const {
    const OwnedView queries = own_queries(offsets, classes, proportions, centroids);
    semcbir::SearchOptions options = search_options(k, epsilon, drop, threads, screening(screened));
    const auto n_queries = static_cast<py::ssize_t>(queries.view.images);
    const std::optional<semcbir::ClassTerms> asked = class_terms(terms);
    options.terms = asked ? &*asked : nullptr;
    py::array_t<double> own;
    if (!epsilons.is_none()) {
      own = as_array<double>(epsilons, "epsilons", {n_queries});
      options.epsilons = own.data();
    }
    py::array_t<std::int64_t> ids({n_queries, k});
    py::array_t<float> distances({n_queries, k});
    py::array_t<float> histogram_distances({n_queries, k});
    py::array_t<std::int64_t> kept(n_queries);
    semcbir::SearchOutput output{ids.mutable_data(), distances.mutable_data(),
                                 histogram_distances.mutable_data(), kept.mutable_data()};
    if (squared) output.squared = output_array(*squared, "squared", n_queries, k);
    without_gil([&](const semcbir::Interrupted& interrupted) {
      core_.search(queries.view, options, output, interrupted);
    });
    return py::make_tuple(ids, distances, histogram_distances, kept);
  }

  py::array_t<double> nearest_epsilons(py::handle offsets, py::handle classes, py::handle proportions,
                                       py::ssize_t m, const std::optional<Terms>& terms, int threads) const {
    if (m < 1) throw py::value_error("keep: expected at least 1, got " + std::to_string(m));
    const OwnedView queries = own_view(offsets, classes, proportions, "query_");
    const std::optional<semcbir::ClassTerms> asked = class_terms(terms);
    py::array_t<double> epsilons(static_cast<py::ssize_t>(queries.view.images));
    double* out = epsilons.mutable_data();
    without_gil([&](const semcbir::Interrupted& interrupted) {
      core_.nearest_epsilons(queries.view, static_cast<std::size_t>(m), asked ? &*asked : nullptr, threads,
                             out, interrupted);
    });
    return epsilons;
  }

  py::array_t<double> smallest_histogram_distances(py::handle offsets, py::handle classes,
                                                   py::handle proportions, py::ssize_t m,
                                                   const std::optional<Terms>& terms, int threads) const {
    if (m < 1) throw py::value_error("keep: expected at least 1, got " + std::to_string(m));
    const OwnedView queries = own_view(offsets, classes, proportions, "query_");
    const std::optional<semcbir::ClassTerms> asked = class_terms(terms);
    py::array_t<double> smallest({static_cast<py::ssize_t>(queries.view.images), m});
    double* out = smallest.mutable_data();
    without_gil([&](const semcbir::Interrupted& interrupted) {
      core_.smallest_histogram_distances(queries.view, static_cast<std::size_t>(m), asked ? &*asked : nullptr,
                                         threads, out, interrupted);
    });
    return smallest;
  }

  py::array_t<std::int64_t> work(py::handle offsets, py::handle classes, py::handle proportions,
                                 py::handle centroids, py::ssize_t k, std::optional<double> epsilon,
                                 bool drop) const {
    const OwnedView queries = own_queries(offsets, classes, proportions, centroids);
    const semcbir::SearchOptions options = search_options(k, epsilon, drop, 1, semcbir::Screening::always);
    const std::size_t n = queries.view.images;
    std::vector<semcbir::SearchWork> work(n);
    without_gil([&](const semcbir::Interrupted& interrupted) {
      const auto size = n * options.k;
      std::vector<std::int64_t> ids(size);
      std::vector<float> distances(size);
      std::vector<float> histogram_distances(size);
      std::vector<std::int64_t> kept(n);
      core_.search(queries.view, options,
                   {ids.data(), distances.data(), histogram_distances.data(), kept.data(), work.data()},
                   interrupted);
    });
    py::array_t<std::int64_t> found({static_cast<py::ssize_t>(n), py::ssize_t{4}});
    std::int64_t* out = found.mutable_data();
    for (const semcbir::SearchWork& one : work) {
      for (const std::int64_t x : {one.all_blocks, one.blocks, one.bytes, one.distances}) *out++ = x;
    }
    return found;
  }

  py::tuple find(const std::vector<Asked>& asked, double min_share, const std::vector<std::uint16_t>& barred,
                 double max_share, py::ssize_t first, py::ssize_t k, int threads) const {
    if (first < 0) throw py::value_error("first: expected at least 0, got " + std::to_string(first));
    if (k < 0) throw py::value_error("k: expected at least 0, got " + std::to_string(k));
    semcbir::FindOptions options;
    for (const auto& [labels, share] : asked) options.asked.push_back({labels, share});
    options.min_share = min_share;
    options.barred = barred;
    options.max_share = max_share;
    options.first = static_cast<std::size_t>(first);
    options.k = static_cast<std::size_t>(k);
    options.threads = threads;
    std::int64_t total = 0;
    std::vector<semcbir::FoundImage> found;
    without_gil(
        [&](const semcbir::Interrupted& interrupted) { found = core_.find(options, total, interrupted); });
    const auto n = static_cast<py::ssize_t>(found.size());
    const auto width = static_cast<py::ssize_t>(asked.size());
    py::array_t<std::int64_t> ids(n);
    py::array_t<double> distances(n);
    py::array_t<double> shares({n, width});
    for (py::ssize_t i = 0; i < n; ++i) {
      const semcbir::FoundImage& one = found[static_cast<std::size_t>(i)];
      ids.mutable_at(i) = one.id;
      distances.mutable_at(i) = one.distance;
      const semcbir::ImageRows rows = semcbir::image_rows(core_.segments()[one.segment], one.image, 0);
      const std::vector<double> shown = semcbir::asked_shares(options.asked, rows);
      for (py::ssize_t j = 0; j < width; ++j) shares.mutable_at(i, j) = shown[static_cast<std::size_t>(j)];
    }
    return py::make_tuple(ids, distances, shares, total);
  }

  static semcbir::Screening screening(std::optional<bool> screened) {
    if (!screened.has_value()) return semcbir::Screening::automatic;
    return *screened ? semcbir::Screening::always : semcbir::Screening::never;
  }

  std::vector<PySegmentScreen> screens() const {
    std::vector<PySegmentScreen> found;
    for (const auto& screen : core_.screens()) found.push_back({screen});
    return found;
  }
  std::size_t screen_bytes() const { return core_.screen_bytes(); }
  py::ssize_t dim() const { return static_cast<py::ssize_t>(core_.dim()); }
  std::size_t size() const { return core_.size(); }

 private:
  OwnedView own_queries(py::handle offsets, py::handle classes, py::handle proportions,
                        py::handle centroids) const {
    OwnedView queries = own_view(offsets, classes, proportions, "query_");
    own_centroids(queries, centroids, dim(), "query_");
    return queries;
  }

  static semcbir::SearchOptions search_options(py::ssize_t k, std::optional<double> epsilon, bool drop,
                                               int threads, semcbir::Screening screening) {
    if (k < 1) throw py::value_error("k: expected at least 1, got " + std::to_string(k));
    semcbir::SearchOptions options;
    options.k = static_cast<std::size_t>(k);
    options.epsilon = epsilon.value_or(std::numeric_limits<double>::infinity());
    options.drop = drop;
    options.threads = threads;
    options.screening = screening;
    return options;
  }

  semcbir::Searcher own_segments(const py::tuple& segments, py::ssize_t dim, const Screens& screens) {
    if (dim < 1) throw py::value_error("dim: expected at least 1, got " + std::to_string(dim));
    std::vector<semcbir::SignatureView> views;
    for (std::size_t i = 0; i < segments.size(); ++i) {
      const std::string prefix = "segment " + std::to_string(i) + ": ";
      views.push_back(own_segment(segments[i], dim, prefix));
    }
    return {std::move(views), static_cast<std::size_t>(dim), known(screens)};
  }

  semcbir::SignatureView own_segment(py::handle segment, py::ssize_t dim, const std::string& prefix) {
    if (!py::isinstance<py::tuple>(segment) || py::len(segment) != 5) {
      throw py::type_error(prefix + "expected a tuple (offsets, classes, proportions, centroids, ids), got " +
                           std::string(py::str(py::type::of(segment).attr("__name__"))));
    }
    const auto columns = py::reinterpret_borrow<py::tuple>(segment);
    OwnedView owned = own_view(columns[0], columns[1], columns[2], prefix);
    own_centroids(owned, columns[3], dim, prefix);
    const auto ids =
        as_array<std::int64_t>(columns[4], prefix + "ids", {static_cast<py::ssize_t>(owned.view.images)});
    owned.view.ids = ids.data();
    owned.arrays.push_back(ids);
    arrays_.insert(arrays_.end(), std::make_move_iterator(owned.arrays.begin()),
                   std::make_move_iterator(owned.arrays.end()));
    return owned.view;
  }

  std::vector<py::array> arrays_;
  semcbir::Searcher core_;
};

}  // namespace

void register_searcher(py::module_& m) {
  py::class_<PySegmentScreen>(
      m, "SegmentScreen", py::is_final(),
      "What a Searcher knows of a segment; another one of the same rows may share it.");
  py::class_<PySearcher>(
      m, "Searcher", py::is_final(),
      "Exact search over segments (offsets, classes, proportions, centroids, ids), which are not\n"
      "copied. A negative id marks a removed image.")
      .def(py::init<const py::list&, py::ssize_t, const std::optional<Screens>&>(), py::arg("segments"),
           py::arg("dim"), py::arg("screens") = py::none())
      .def("__len__", &PySearcher::size, "Number of images that are not removed.")
      .def_property_readonly("dim", &PySearcher::dim, "D, the length of a centroid.")
      .def("search", &PySearcher::search, py::arg("query_offsets"), py::arg("query_classes"),
           py::arg("query_proportions"), py::arg("query_centroids"), py::arg("k"), py::arg("epsilon"),
           py::arg("drop"), py::arg("threads"), py::arg("screened") = py::none(),
           py::arg("epsilons") = py::none(), py::arg("terms") = py::none(), py::arg("squared") = py::none(),
           "(ids (q, k), distances (q, k), histogram_distances (q, k), kept (q,)) of the first k images.\n"
           "screened: with narrow copies, which are built first; None: once that pays. epsilons: float64 "
           "(q,)\n"
           "in the place of epsilon. terms: (weights, others, needed, min_share, barred, max_share,\n"
           "unit_rows), weights being (label, weight); see class_terms.hpp. squared: float64 (q, k), which\n"
           "squared distances are written to.")
      .def("nearest_epsilons", &PySearcher::nearest_epsilons, py::arg("query_offsets"),
           py::arg("query_classes"), py::arg("query_proportions"), py::arg("m"), py::arg("terms"),
           py::arg("threads"),
           "float64 (q,): the m-th smallest histogram distance of each query to an image that is not barred.")
      .def("smallest_histogram_distances", &PySearcher::smallest_histogram_distances,
           py::arg("query_offsets"), py::arg("query_classes"), py::arg("query_proportions"), py::arg("m"),
           py::arg("terms"), py::arg("threads"),
           "float64 (q, m): the smallest histogram distances of each query to images that are not barred,\n"
           "ascending; infinity where there are fewer.")
      .def("find", &PySearcher::find, py::arg("asked"), py::arg("min_share"), py::arg("barred"),
           py::arg("max_share"), py::arg("first"), py::arg("k"), py::arg("threads"),
           "(ids (n,), distances (n,), shares (n, asked), total) of images [first, first + k) of those that\n"
           "show what is asked: (labels, share or None); see class_find.hpp.")
      .def("work", &PySearcher::work, py::arg("query_offsets"), py::arg("query_classes"),
           py::arg("query_proportions"), py::arg("query_centroids"), py::arg("k"), py::arg("epsilon"),
           py::arg("drop"),
           "(q, 4): blocks of screens, those that a search on one thread looks at, bytes of screens that it\n"
           "reads, and distances that it computes.")
      .def_property_readonly("screens", &PySearcher::screens,
                             "Of each segment, for searchers over the same rows.")
      .def_property_readonly("screen_bytes", &PySearcher::screen_bytes,
                             "Bytes of the narrow copies, 0 before they are built.");
}
