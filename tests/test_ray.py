# SPDX-License-Identifier: MIT
"""Several machines: a Ray cluster of two nodes on this one; workers, nodes and the head are killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import Run
from semcbir import Index, IndexStorageError, Neighbors
from semcbir.distributed import Searcher, building, index_on_ray
from semcbir.errors import SemcbirError, ShardsMissingError
from semcbir.index import merge_indexes as merging
from sharded import assert_same, build, build_parts, write_copies

ray: Any = None
needs_ray = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("ray") is None, reason="needs the extra ray"
)
QUICK = {
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
    "health_check_timeout_ms": 1000,
    "health_check_initial_delay_ms": 0,
}
"""So that a node that is lost is noticed in seconds."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_copies(tmp_path_factory.mktemp("ray") / "photos", 80, 4)
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def whole(photos: Path, tiny_model: Path) -> Index:
    return build(photos, photos.parent / "whole", tiny_model)


@pytest.fixture(scope="module")
def parts(photos: Path, tiny_model: Path) -> list[Path]:
    return build_parts(photos, photos.parent, tiny_model, 4)


@pytest.fixture
def quiet_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home in which Ray finds that it is in no cloud, so that it asks none; see ``Session``."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "ray_bootstrap_config.yaml").write_text("provider:\n  type: local\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_REPORT_URL", "http://127.0.0.1:9/")


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where the head keeps what it knows, so that it can be started again."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        monkeypatch.setenv("RAY_REDIS_ADDRESS", f"127.0.0.1:{port}")
        try:
            wait_until_reachable(f"127.0.0.1:{port}")
            yield
        finally:
            server.terminate()


@pytest.fixture
def cluster(quiet_home: None, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A head without CPUs, and two nodes with one each (or what the parameter says), all on this machine."""
    global ray
    import ray as module
    from ray.cluster_utils import Cluster

    ray = module
    common = {"object_store_memory": 80 << 20, "include_log_monitor": False}
    head = {"num_cpus": 0, "include_dashboard": False, "no_monitor": True, "_system_config": QUICK}
    one = Cluster(initialize_head=True, head_node_args=head | common)
    place = {"num_cpus": 1} | getattr(request, "param", {})
    nodes = [one.add_node(**place, **common) for _ in range(2)]
    one.wait_for_nodes()
    one.workers = nodes
    yield one
    ray.shutdown()
    one.shutdown()


def assert_alike(made: Index, whole: Index) -> None:
    assert made.check() == []
    assert [(r.id, r.path) for r in made] == [(r.id, r.path) for r in whole]
    a, b = made.signatures(), whole.signatures()
    for name in ("ids", "offsets", "classes", "proportions", "counts", "centroids"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name
    assert made.skipped == whole.skipped


def index_on(cluster: Any, photos: Path, place: Path, model: Path, **more: Any) -> Index:
    """Index the photos on the cluster, as ``whole`` is."""
    more |= {"model": str(model), "features": "hog", "device": "cpu"}
    return index_on_ray(photos, place, address=cluster.address, threads=1, **more)


def wait_until_reachable(address: str) -> None:
    """Until something listens there."""
    host, _, port = address.partition(":")
    for _ in range(100):
        with socket.socket() as asked:
            if asked.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens at {address}")


def actor_pids() -> list[int]:
    """The processes of shards."""
    return [one.pid for one in processes("ray::_Actor")]


def processes(what: str) -> list[Any]:
    """The processes that are called so."""
    import psutil

    every = psutil.process_iter(["cmdline"])
    return [one for one in every if what in " ".join(one.info["cmdline"] or [])]


@needs_ray
@pytest.mark.slow
def test_a_search_over_nodes_is_that_of_one_index(cluster: Any, whole: Index, parts: list[Path]) -> None:
    queries = whole.signatures()
    with Searcher(parts, address=cluster.address) as searcher:
        assert len(searcher) == len(whole) == len(queries)
        for k in (1, 20, len(whole), len(whole) + 5):
            for epsilon, penalized in ((None, "last"), (0.9, "last"), (0.4, "drop")):
                found = searcher.search(queries, k, epsilon, penalized)
                assert_same(found, whole.searcher().search(queries, k, epsilon, penalized))
        assert_same(searcher.search(queries, 9, keep=7), whole.searcher().search(queries, 9, keep=7))
        assert searcher.records([3, 50]) == whole.records([3, 50])
        np.testing.assert_array_equal(
            searcher.signatures([50, 3, 50]).centroids, whole.signatures(ids=[50, 3, 50]).centroids
        )
        for wrong in (searcher.records, searcher.signatures):
            with pytest.raises(ValueError, match="ids: expected ids of the index, got 4444"):
                wrong([3, 4444])
        with pytest.raises(ValueError, match="epsilon"):
            searcher.search(queries, 3, -1)
    with pytest.raises(ValueError, match="the searcher is closed"):
        searcher.search(queries)


@needs_ray
@pytest.mark.slow
def test_workers_and_nodes_are_lost_and_queries_are_answered(
    cluster: Any, whole: Index, parts: list[Path]
) -> None:
    queries = whole.signatures()[:10]
    expected = whole.searcher().search(queries, 20, None)
    with Searcher(parts, address=cluster.address) as searcher:
        assert_same(searcher.search(queries, 20, None), expected)
        before = actor_pids()
        os.kill(before[0], signal.SIGKILL)
        began = time.monotonic()
        assert_same(searcher.search(queries, 20, None), expected)
        print(f"a worker was killed: answered after {time.monotonic() - began:.1f} s")
        cluster.remove_node(cluster.workers[0], allow_graceful=False)
        began = time.monotonic()
        while time.monotonic() - began < 6:  # until the node is given up, its workers may go on answering
            assert_same(searcher.search(queries, 20, None), expected)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        assert len(nodes) == 2, "the head and the other node"
        for pid in before:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
            break
        began = time.monotonic()
        assert_same(searcher.search(queries, 20, None), expected)
        print(f"a node was killed: answered after {time.monotonic() - began:.1f} s once it was given up")


@needs_ray
@pytest.mark.slow
def test_missing_parts_are_named(cluster: Any, whole: Index, parts: list[Path], tmp_path: Path) -> None:
    places = [tmp_path / part.name for part in parts]
    for part, place in zip(parts, places, strict=True):
        shutil.copytree(part, place)
    queries = whole.signatures()[:3]
    with Searcher(places, address=cluster.address, timeout=20) as searcher:
        searcher.search(queries)
        places[2].rename(tmp_path / "away")
        for pid in actor_pids():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises((ShardsMissingError, IndexStorageError), match="part 3"):
            searcher.search(queries)
        (tmp_path / "away").rename(places[2])
        assert_same(searcher.search(queries), whole.searcher().search(queries))
        index = Index.open(places[1])
        index.remove(next(iter(index)).path)
        for pid in actor_pids():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(IndexStorageError, match="has changed since it was opened"):
            searcher.search(queries)


@needs_ray
@pytest.mark.slow
def test_indexing_survives_the_loss_of_workers_and_a_node(
    cluster: Any, whole: Index, photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    done = threading.Event()
    lost = []

    def lose() -> None:
        """Kill workers now and then, and once a node."""
        for number in range(40):
            if done.wait(0.7):
                return
            busy = processes("ray::_build_part")
            if busy and number < 12:
                busy[0].kill()
                lost.append("worker")
            if number == 6:
                cluster.remove_node(cluster.workers[0], allow_graceful=False)
                lost.append("node")

    killer = threading.Thread(target=lose)
    killer.start()
    try:
        made = index_on(cluster, photos, tmp_path / "index", tiny_model, parts=12)
    finally:
        done.set()
        killer.join()
    assert lost.count("worker") >= 2
    assert_alike(made, whole)
    assert not (tmp_path / "index.parts").exists()


@needs_ray
@pytest.mark.slow
def test_a_cluster_is_started_here_and_an_interrupted_run_goes_on(
    whole: Index, photos: Path, tiny_model: Path, tmp_path: Path, run: Run
) -> None:
    place, options = tmp_path / "index", {"model": str(tiny_model), "features": "hog", "device": "cpu"}

    def stop(progress: Any) -> None:
        if progress.done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_on_ray(photos, place, parts=6, threads=1, on_progress=stop, **options)
    assert not place.exists()
    with pytest.raises(IndexStorageError, match="holds an interrupted run over 6 parts, got 5"):
        index_on_ray(photos, place, parts=5, threads=1, **options)
    made = ["--model", tiny_model, "--features", "hog"]
    done = run("index", photos, "-o", place, "--on", "ray", "--threads", 1, *made)
    assert (done.code, "1 skipped" in done.out, "broken.jpg" in done.err) == (3, True, True)
    assert_alike(Index.open(place), whole)
    again = run("index", photos, "-o", place, "--on", "ray")
    assert (again.code, "is an index already; `semcbir refresh`" in again.err) == (1, True)


class _Alone:
    """In the place of a cluster: one worker after another, here."""

    def __init__(
        self, session: Any, folders: Any, beside: Path, parts: Any, threads: Any, options: Any
    ) -> None:
        beside.mkdir(exist_ok=True)
        (beside / ".parts").write_text("2")
        self.parts, self._beside, self._folders, self._options = 2, beside, folders, options

    def carry_out(self, on_progress: Any) -> list[Any]:
        return [
            Index.build(self._folders, self._beside / str(i), part=f"{i}/2", **self._options).report
            for i in (1, 2)
        ]


class _NoSession:
    def __init__(self, address: Any) -> None:
        pass

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_Run", _Alone)
    monkeypatch.setattr(building, "Session", _NoSession)


def test_nothing_that_is_not_ours_is_deleted(
    no_cluster: None, photos: Path, tiny_model: Path, whole: Index, tmp_path: Path
) -> None:
    options = {"model": str(tiny_model), "features": "hog", "device": "cpu"}
    mine = tmp_path / "index.parts" / "mine" / "precious.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    with pytest.raises(IndexStorageError, match=r"index\.parts is there already"):
        index_on_ray(photos, tmp_path / "index", **options)
    assert mine.read_text() == "precious"
    made = index_on_ray(photos, tmp_path / "other", **options)
    assert_alike(made, whole)
    assert (made.report.added, len(made.report.skipped)) == (len(whole), 1)
    assert not (tmp_path / "other.parts").exists()


def test_where_no_index_can_be_nothing_is_begun(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "Session", None)
    with pytest.raises(IndexStorageError, match="photos is neither an index nor empty"):
        index_on_ray(photos, photos)
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(IndexStorageError, match=r"notes\.txt is a file"):
        index_on_ray(photos, tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert not photos.with_name("photos.parts").exists()


def test_a_run_that_begins_no_part_leaves_nothing(no_cluster: None, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SemcbirError, match="nope"):
        index_on_ray(photos, tmp_path / "index", model="nope")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("last", ["_copy", "rmtree"])
def test_a_run_that_was_killed_while_it_merged_goes_on(
    no_cluster: None,
    photos: Path,
    tiny_model: Path,
    whole: Index,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last: str,
) -> None:
    options = {"model": str(tiny_model), "features": "hog", "device": "cpu"}

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(merging if last == "_copy" else building.shutil, last, killed)
        with pytest.raises(KeyboardInterrupt):
            index_on_ray(photos, tmp_path / "index", **options)
    Image.new("RGB", (60, 40), "red").save(photos / "new.png")  # the parts are merged as they were
    try:
        assert_alike(index_on_ray(photos, tmp_path / "index", **options), whole)
    finally:
        (photos / "new.png").unlink()
    assert not (tmp_path / "index.parts").exists()


HEAD = """
import sys, time
import numpy as np
from ray.cluster_utils import Cluster
from semcbir import Index
from semcbir.distributed import Searcher
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False,
    "object_store_memory": 80 << 20, "include_log_monitor": False, "no_monitor": True})
whole = Index.open(sys.argv[1])
queries = whole.signatures()[:5]
expected = whole.searcher().search(queries, 9)
searcher = Searcher(sys.argv[2:], address=cluster.address)
searcher.search(queries, 9)
cluster.head_node.kill_gcs_server()
began = time.monotonic()
found = searcher.search(queries, 9)
assert (found.ids == expected.ids).all() and (found.distances == expected.distances).all()
print(f"answered {time.monotonic() - began:.3f} s after the head was lost", flush=True)
import os
os._exit(0)
"""


@needs_ray
@pytest.mark.slow
def test_without_the_head_shards_go_on_answering(quiet_home: None, whole: Index, parts: list[Path]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", HEAD, str(whole.path), *map(str, parts)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    print(ran.stdout.splitlines()[-1])


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("cluster", [{"num_cpus": 4, "num_gpus": 1}], indirect=True)
def test_a_part_is_built_on_a_gpu_each(
    cluster: Any, whole: Index, photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """As Ray counts them: the machine needs none."""
    used = []

    def note(_: Any) -> None:
        used.append(2 - ray.available_resources().get("GPU", 0))

    made = index_on(cluster, photos, tmp_path / "index", tiny_model, on_progress=note)
    assert max(used) >= 1
    assert_alike(made, whole)


@needs_ray
@pytest.mark.slow
def test_a_head_that_is_started_again(
    redis: None, cluster: Any, whole: Index, parts: list[Path], photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """One test, since a process can work with one Redis alone."""
    begun, over = threading.Event(), threading.Event()

    def restart() -> None:
        begun.wait(60)
        cluster.head_node.kill_gcs_server()
        time.sleep(4)
        cluster.head_node.start_gcs_server()
        over.wait()  # what a thread has started ends with it

    restarting = threading.Thread(target=restart, daemon=True)
    restarting.start()
    made = index_on(
        cluster, photos, tmp_path / "index", tiny_model, parts=12, on_progress=lambda _: begun.set()
    )
    assert_alike(made, whole)
    wait_until_reachable(cluster.address)

    queries = whole.signatures()[:10]
    expected = whole.searcher().search(queries, 20, None)
    answers: list[Neighbors] = []
    with Searcher(parts, address=cluster.address) as searcher:
        assert_same(searcher.search(queries, 20, None), expected)
        cluster.head_node.kill_gcs_server()
        assert_same(searcher.search(queries, 20, None), expected)
        os.kill(actor_pids()[0], signal.SIGKILL)
        asking = threading.Thread(target=lambda: answers.append(searcher.search(queries, 20, None)))
        asking.start()
        asking.join(3)
        assert not answers, "nobody can start a shard without the head"
        cluster.head_node.start_gcs_server()
        began = time.monotonic()
        asking.join(60)
        assert_same(answers[0], expected)
        print(f"the shard that was lost answered {time.monotonic() - began:.1f} s after the head was back")
        os.kill(actor_pids()[0], signal.SIGKILL)
        assert_same(searcher.search(queries, 20, None), expected)
    over.set()


ALONE = """
import os, psutil
from semcbir.distributed.session import Session
home = os.environ["HOME"]
with Session() as session:
    ray = session.ray
    @ray.remote
    def here():
        return 1
    assert ray.get(here.remote()) == 1
    every = [psutil.Process(), *psutil.Process().children(recursive=True)]
    places, words = set(), ""
    for one in every:
        try:
            words += " ".join(one.cmdline())
            for link in one.net_connections("inet"):
                places |= {end.ip for end in (link.laddr, link.raddr) if end}
        except psutil.Error:
            continue
    print(sorted(places))
    assert places <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, places
    assert "gcs_server" in words and ("dashboard.py" not in words or "--disable-frontend" in words)
    assert os.environ["HOME"] == home == session.home
"""


@needs_ray
@pytest.mark.slow
def test_a_cluster_here_is_on_the_loopback_interface_alone() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_without_ray_it_is_said_what_to_install(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    refused = run("index", photos, "-o", tmp_path / "index", "--on", "ray")
    assert (refused.code, 'pip install "semcbir[ray]"' in refused.err) == (1, True)
    assert not (tmp_path / "index.parts").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--on", "spark"], "expected ray, got 'spark'"),
        (["--address", "a:1"], "needs --on ray"),
        (["--parts", "3"], "needs --on ray"),
        (["--on", "ray", "--part", "1/2"], "not with --on"),
        (["--on", "ray", "--restore"], "not with --on"),
    ],
)
def test_options_that_do_not_fit(run: Run, photos: Path, options: list[str], message: str) -> None:
    refused = run("index", photos, *options)
    assert (refused.code, message in refused.err) == (2, True)


@needs_ray
def test_where_there_is_no_cluster_it_is_said(photos: Path, tmp_path: Path, parts: list[Path]) -> None:
    with pytest.raises(SemcbirError, match=r"Ray on 127\.0\.0\.1:9: .*refused"):
        Searcher(parts, address="127.0.0.1:9")
    with pytest.raises(SemcbirError, match=r"Ray on 127\.0\.0\.1:9: .*refused"):
        index_on_ray(photos, tmp_path / "index", address="127.0.0.1:9")


def test_arguments(parts: list[Path], photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parts: expected at least one index"):
        Searcher([])
    with pytest.raises(ValueError, match="parts: expected all of them, 1 part missing: 4/4"):
        Searcher(parts[:3])
    for timeout in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="timeout: expected seconds"):
            Searcher(parts, timeout=timeout)
    with pytest.raises(ValueError, match="parts: expected"):
        index_on_ray(photos, tmp_path / "index", parts=0)
    with pytest.raises(ValueError, match="folders: expected at least one"):
        index_on_ray([], tmp_path / "index")
