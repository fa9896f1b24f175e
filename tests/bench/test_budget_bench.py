"""A few scenes of the budget's benchmark, short: whatever else the machine does, nothing is spent twice.

How much of the budget is used depends on the machine, and is the benchmark's to tell; what is refused does not.
"""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("budget.py")
SCENES = ("N known, sliding, seconds", "N unknown, fixed, seconds")
"""Each of them alone and with two shards, the first one with a restart, too."""


def test_the_budget_is_kept_by_shards_and_over_a_restart(tmp_path: Path) -> None:
    """A known limit is never exceeded in any window; an unknown one is learned, and few calls are refused."""
    target = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--windows", "4", "--together", "5", "--folder", str(tmp_path)]
    command += ["--json", str(target), *(word for scene in SCENES for word in ("--only", scene))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    assert target.exists(), done.stderr
    found = json.loads(target.read_text())
    assert sorted(one["scene"] for one in found) == sorted(
        [*SCENES, *(f"{scene}, 2 shards" for scene in SCENES), f"{SCENES[0]}, restart"]
    )
    assert [one["scene"] for one in found if one["scene"] not in done.stdout] == []
    for one in found:
        assert one["windows"] >= 2, one
        assert one["calls"] > one["requests"], one
        assert one["used"] > 0.3, one
        if one["known"]:
            assert one["refused"] <= (2 if one["restarted"] else 0), one
            assert one["over"] <= (2 if one["restarted"] else 0), one
        else:
            assert 1 <= one["refused"] <= 100, one
            assert one["later"] <= 0.08, one
            assert one["learned"] is None or 0.5 * one["requests"] < one["learned"] <= 1.2 * one["requests"], one
