"""A long run as short as it can be: everything is sampled, nothing fails; whether it is flat needs hours to tell."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from flatness import Figure, told

SCRIPT = Path(__file__).with_name("long_run.py")
SMALL = ("--plants", "1", "--devices", "2", "--weeks", "1", "--sample", "0.5", "--order", "3", "--every", "1")
SECONDS = 15


def test_a_short_run_samples_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Every figure of a healthy daemon is there and possible, orders are done, the end is clean."""
    target = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--hours", str(SECONDS / 3600), *SMALL]
    command += ["--folder", str(tmp_path), "--json", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    assert target.exists(), done.stderr
    found = json.loads(target.read_text())
    assert found["troubles"] == []
    assert found["good"] == (done.returncode == 0)
    assert len(found["samples"]) >= 8
    assert found["orders"]
    assert set(found["orders"]) == {0}
    assert found["end"]["code"] == found["end"]["failed_days"] == found["end"]["leftovers"] == 0
    assert [one["name"] for one in found["figures"] if one["name"] not in done.stdout] == []
    last = found["samples"][-1]
    assert 50 < last["anonymous"] < last["rss"] < 2000
    assert last["files"] > 10
    assert last["threads"] > 1
    assert all(0 < last[name] < 30 for name in ("cpu", "health", "metrics", "status"))
    assert last["rows"] > 7 * 96
    assert last["files_written"] > 7
    assert last["answer_seconds"] > 0
    assert last["failed"] == last["broken"] == 0
    assert last["ledger"] + last["wal"] > 0
    assert list(tmp_path.iterdir()) == [target]


def test_a_run_whose_cloud_is_gone_ends_at_once(tmp_path: Path) -> None:
    """What is measured without a cloud is no steady load: the run says so, and ends with 1."""
    target = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--hours", "1", *SMALL, "--folder", str(tmp_path), "--json", str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        ends = time.monotonic() + 60
        while not target.exists() and time.monotonic() < ends:
            time.sleep(0.1)
        os.kill(cloud_of(run.pid), signal.SIGKILL)
        out, _ = run.communicate(timeout=120)

    assert run.returncode == 1
    assert "the local cloud ended by itself after 0.00 h" in out
    assert "NOT GOOD" in out


def cloud_of(run: int) -> int:
    """Return the process of the local cloud that the process *run* has started."""
    children = Path(f"/proc/{run}/task/{run}/children").read_text().split()
    return next(int(child) for child in children if b"sandbox" in Path(f"/proc/{child}/cmdline").read_bytes())


def test_what_rises_is_told_from_what_is_flat() -> None:
    """A leak is found, what settles in the first quarter is not taken for one, and a rate is one of the stretch."""
    samples = [{"hour": n / 100, "leak": 100 + n, "warm": min(n, 25), "work": 3.0 * n} for n in range(100)]
    leak = told(Figure(name="", key="leak", allowed=(0.03, 8.0)), samples)
    warm = told(Figure(name="", key="warm", allowed=(0.0, 1.0)), samples)
    work = told(Figure(name="", key="work", per="hour"), samples)
    absent = told(Figure(name="", key="nothing", allowed=(0.0, 1.0)), samples)

    assert (leak.flat, warm.flat, work.flat, absent.flat) == (False, True, None, None)
    assert leak.slope is not None
    assert abs(leak.slope - 100) < 1e-6
    assert all(rate is not None and abs(rate - 300) < 1e-6 for rate in work.eighths)
    assert absent.eighths == (None,) * 8
