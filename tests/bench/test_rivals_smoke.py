"""The comparisons run, print what they found, and what they found is possible; how good it is is no test."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def ran(folder: Path, script: str, *words: str, codes: tuple[int, ...] = (0,)) -> tuple[str, Any]:
    """Run one benchmark; return what it printed, and its figures."""
    target = folder / "figures.json"
    command = [sys.executable, str(HERE / script), *words, "--json", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode in codes, done.stderr
    return done.stdout + done.stderr, json.loads(target.read_text())


def test_every_tool_ends_with_the_same_rows(tmp_path: Path) -> None:
    """The script's, ours, and dlt's where there is one; where there is none it is said."""
    said, found = ran(tmp_path, "compare.py", "--quick", "--folder", str(tmp_path))

    runs = found["median"]
    assert {"bare", "script", "ours"} <= runs.keys()
    assert ("dlt" in runs) != ("has no dlt" in said)
    assert len({each["rows"] for each in runs.values()}) == 1
    assert runs["ours"]["rows"] > 7 * 96 * 3
    assert all(10 < each["peak"] < 2000 for each in runs.values())
    assert [tool for tool in runs if tool not in said] == []


def test_memory_of_whole_commands_is_compared_with_the_bound(tmp_path: Path) -> None:
    """A longer period and a larger fleet, as small as they can be."""
    words = ("--days", "1", "8", "--plants", "1", "--devices", "1", "--fleets", "3", "--folder", str(tmp_path))
    _, found = ran(tmp_path, "flat_memory.py", *words, codes=(0, 1))

    assert [(each["plants"], each["days"]) for each in found] == [(1, 1), (1, 8), (3, 1)]
    assert found[1]["rows"] > found[0]["rows"]
    assert all(each["allowed"] == pytest.approx(300, abs=1) for each in found)
    assert all(50 < each["peak"] < 2000 for each in found)


def test_a_late_merge_writes_one_file_and_its_revisions(tmp_path: Path) -> None:
    """The rows that were missing are there afterwards, and the changed values are in `revisions`."""
    _, found = ran(tmp_path, "late_merge.py", "--times", "1")

    assert [(each["late"], each["rows"]) for each in found] == [(5_760, 28_800), (5_760, 201_600)]
    assert all(each["files"] == 1 and each["columns"] == 30 for each in found)
    assert all(each["cpu"] > 0 for each in found)


def test_plans_of_larger_fleets_are_larger(tmp_path: Path) -> None:
    """A tenfold fleet needs ten times the requests and rows, and a tenth of the budget ten times the hours."""
    words = ("--plants", "2", "20", "--budgets", "10", "1000", "--folder", str(tmp_path))
    said, found = ran(tmp_path, "scale_on_paper.py", *words)

    small, _, large, quick = found
    assert large["requests"] == 10 * small["requests"] > 0
    assert large["rows"] == 10 * small["rows"] == 20 * 11 * 365 * 288
    assert large["hours"] == pytest.approx(100 * quick["hours"], rel=0.01)
    assert large["binds"] == "budget"
    assert large["live_p95_minutes"] > quick["live_p95_minutes"]
    assert said.count("\n| ") == 6
