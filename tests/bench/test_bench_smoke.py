"""The benchmark runs, prints every figure, and the figures are possible; how good they are is no test."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("whole_against_parts.py")
PRINTED = (
    "bare read",
    "decode",
    "Parquet write",
    "sum of the parts",
    "the whole",
    "with raw archive",
    "whole / sum, CPU",
    "rows/s",
    "peak memory, MiB",
    "bodies",
    "rows",
    "minimal decode",
)

PARTS = ("bare read", "decode", "Parquet write")


def test_the_benchmark_runs_and_prints_every_figure(tmp_path: Path) -> None:
    """As small as it can be: every row of the table, the same figures as JSON, and parts that cost less than all."""
    target = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--folder", str(tmp_path), "--json", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [name for name in PRINTED if not any(line.startswith(name) for line in lines)] == []
    found = json.loads(target.read_text())["median"]
    assert found["bodies"] > 5
    assert found["bytes"] > 100 * found["rows"] / 2
    assert found["rows"] > 7 * 96 * 5
    assert found["files"] >= 7
    assert all(cost > 0 for cost in found["cpu"].values())
    assert found["cpu"]["whole"] > max(cost for name, cost in found["cpu"].items() if name in PARTS)
    assert found["rows_per_second"] > 100
    assert 50 < found["peak"] < 2000
    assert list(tmp_path.iterdir()) == [target]
