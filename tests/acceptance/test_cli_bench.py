"""`rxsql bench`: it runs in small amounts, says what it measured, and what it left out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from conftest import is_alive, wait_until
from test_cli import COMMAND, rxsql

from rxsql.bench.figures import FIGURES, GROUPS, Target, figures_for
from rxsql.bench.peers.protocol import PeerMissingError, need
from rxsql.bench.report import warning
from rxsql.bench.rounds import Measured

PEERS = ("loky", "Dask", "Ray", "Huey without fsync", "Huey with fsync", "Celery", "Procrastinate")


def test_all_figures(tmp_path: Path) -> None:
    """Without names it measures every figure; table and JSON have them all, each with a value and its spread."""
    done = rxsql("bench", "--quick", "--json", tmp_path / "bench.json")
    assert done.code == 0, done.stderr
    told = json.loads((tmp_path / "bench.json").read_text())
    assert [figure["name"] for figure in told["figures"]] == [figure.name for figure in FIGURES]
    assert 0.0 <= told["machine"]["stolen"] <= 1.0
    for figure in told["figures"]:
        ours = figure["systems"]["rxsql"]
        assert ours["least"] <= figure["value"] == ours["value"] <= ours["most"]
        assert len(ours["rounds"]) == told["rounds"] == 1
    shown = [line.split()[0] for line in done.stdout.splitlines()]
    assert shown[0] == "FIGURE"
    assert [name for name in shown if name in {figure.name for figure in FIGURES}] == [
        f.name for f in FIGURES
    ]


def test_chosen_figures_with_peers(tmp_path: Path) -> None:
    """A name chooses a figure; each peer either stands below it, or is left out with the reason."""
    done = rxsql("bench", "latency", "--quick", "--peers", "--json", tmp_path / "bench.json")
    assert done.code == 0, done.stderr
    told = json.loads((tmp_path / "bench.json").read_text())
    assert [figure["name"] for figure in told["figures"]] == [
        "latency",
        "latency-p95",
        "latency-apart",
    ]
    measured = told["figures"][0]["systems"]
    assert {"rxsql", "the store alone", "loky"} <= measured.keys()
    assert measured.keys() | told["left_out"].keys() == {"rxsql", "the store alone", *PEERS}
    for name, reason in told["left_out"].items():
        assert f"{name} was left out: {reason}" in done.stderr
    for name in measured.keys() - {"rxsql"}:
        assert f"\n  {name} " in done.stdout


def test_small_amounts_are_not_judged(tmp_path: Path) -> None:
    """What --quick measures is marked neither as reached nor as missed."""
    rxsql("bench", "import", "--quick", "--json", tmp_path / "bench.json")
    (figure,) = json.loads((tmp_path / "bench.json").read_text())["figures"]
    assert (figure["must"], figure["mark"]) == ("100", "")


def test_a_store_of_ones_own_stays_clean(store_path: Path) -> None:
    """On a store that --store names, nothing of the measurement is left but rows of purged jobs."""
    assert rxsql("bench", "throughput", "submit", "--quick", "--store", store_path).code == 0
    listed = rxsql("jobs", "--json", "--store", store_path)
    assert json.loads(listed.stdout) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM while its worker starts leaves none behind."""
    bench = subprocess.Popen(
        [*COMMAND, "bench", "latency", "--quick"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: psutil.Process(bench.pid).children())
    (worker,) = psutil.Process(bench.pid).children()
    bench.send_signal(number)
    bench.communicate()
    assert bench.returncode == 130
    wait_until(lambda: not is_alive(worker))


def test_unknown_figure() -> None:
    """A name that is no figure is a wrong usage, and the names there are stand in the message."""
    done = rxsql("bench", "velocity")
    assert done.code == 2
    assert "no figure 'velocity'" in done.stderr
    assert all(name in done.stderr for name in GROUPS)


def test_the_help_names_every_figure() -> None:
    """`--help` lists the names that may be given."""
    shown = " ".join(rxsql("bench", "--help").stdout.split())
    assert all(name in shown for name in GROUPS)


def test_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is not installed is named in the reason for leaving it out."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(PeerMissingError, match="^distributed is not installed$"):
        need("distributed")


def test_marks() -> None:
    """A value that keeps the aim is marked so, then one that keeps the must; without the peer nothing is said."""
    (throughput,) = figures_for("sqlite", frozenset({"throughput"}))
    marks = [throughput.mark({"rxsql": value, "loky": 10.0}) for value in (29.0, 30.0, 60.0)]
    assert marks == ["missed", "must", "aim"]
    assert throughput.mark({"rxsql": 60.0}) == ""
    (import_,) = figures_for("sqlite", frozenset({"import"}))
    assert [import_.mark({"rxsql": value}) for value in (101.0, 100.0, 50.0)] == ["missed", "must", "aim"]


def test_a_machine_that_others_use_too() -> None:
    """A run during which the host gave much of the processors to others says so; another says nothing."""
    assert warning(Measured(stolen=0.01)) == ""
    assert "gave 12% of the processor time" in warning(Measured(stolen=0.123))


def test_on_postgresql_procrastinate_is_the_measure() -> None:
    """On a PostgreSQL store, throughput is measured against the peer that uses the same server."""
    (throughput,) = figures_for("postgresql", frozenset({"throughput"}))
    assert (throughput.must, throughput.aim) == (Target(5, "Procrastinate"), Target(20, "Procrastinate"))
