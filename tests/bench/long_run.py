"""A daemon for hours at a steady load: whether memory, open files and latency stay flat.

The local cloud and `harvester daemon` are processes of their own. The daemon does all that it does by itself (live,
late, history, discovery, consent, repair, housekeeping), more often than usual; and again and again the same amount
of work is ordered, with the command a person types: `harvester repair --force` of a week, now a new one, now a known.

What the system says of the daemon, what its pages say and how soon they answer, and what lies on the disk, is sampled.
Medians by eighths of the run are printed; the last quarter is compared with the second one (see `flatness`). At the
end the daemon is told to stop, and ledger and lake are checked. SIGTERM or Ctrl-C ends the run early, with the table.
Needs Linux: /proc is read.

    python tests/bench/long_run.py --hours 2 [--plants 20] [--devices 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from types import FrameType
from typing import Any

from flatness import FIGURES, HOUR, Told, disk, pages, process_facts, table, told
from machine import ROOT

OWNER = "owner@example.org"
SETTLED_DAYS = 14
"""How far back the newest week is that is ordered: all its rows have come."""
PATIENCE, DRAINED, ORDERED = 60.0, 10.0, 120.0
"""Seconds: to start, to end once told to, and for the last order to be done."""
LOOK = 0.2
MULTIPLES = {"live": 1, "settle": 5, "backfill": 5, "consent": 5, "repair": 5, "discover": 10, "housekeeping": 15}
"""How often the daemon does what, in rounds of the live data."""


class Stopped:
    """Whether this run was told to end."""

    def __init__(self) -> None:
        self.told = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._tell)

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        self.told = True


@dataclass(slots=True)
class Orders:
    """Weeks that are ordered one after the other: one that was never asked, then one of a few that were, and so on."""

    folder: Path
    newest: date
    """Last day of the newest week."""
    weeks: int
    """How many are asked again."""
    codes: list[int] = field(default_factory=list)
    """Exit codes of those that are done."""
    troubles: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """What all of them took."""
    _process: subprocess.Popen[bytes] | None = None
    _began: float = 0.0

    def span(self, number: int) -> tuple[date, date]:
        """Return the days of the order of that *number*, counted from 0."""
        pair, again = divmod(number, 2)
        last = self.newest - timedelta(days=7 * (pair % self.weeks if again else pair))
        return last - timedelta(days=6), last

    def place(self, stack: ExitStack) -> None:
        """Place the next one, unless one is under way."""
        if self.look():
            first, last = map(str, self.span(len(self.codes)))
            words = ("order", "repair", "--from", first, "--to", last, "--force")
            self._process = stack.enter_context(running(self.folder, *words))
            self._began = time.monotonic()

    def look(self) -> bool:
        """Note the end of the one that is under way; tell whether there is none (any more)."""
        if self._process is not None and self._process.poll() is not None:
            self.seconds += time.monotonic() - self._began
            self.codes.append(self._process.returncode)
            if self._process.returncode not in {0, 130}:  # 130: it was taken back
                self.troubles.append(f"an order ended with {self._process.returncode}: {_tail(self.folder, 'order')}")
            self._process = None
        return self._process is None

    def finish(self, *, early: bool) -> None:
        """Wait for the one that is under way; *early*: have it taken back."""
        ends = time.monotonic() + ORDERED
        if self._process is not None and early:
            self._process.send_signal(signal.SIGINT)
        while not self.look() and time.monotonic() < ends:
            time.sleep(LOOK)


def _command(folder: Path, *words: str) -> dict[str, Any]:
    """Return how ``harvester`` is run with *words*: on the code in *folder*, without settings of the machine's user."""
    settings = [] if words[0] == "sandbox" else ["--config", str(folder / "harvester.toml")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HARVESTER_")}
    args = [sys.executable, "-m", "harvester", *words, *settings]
    # the second as the units and the image in deploy/ have it
    return {"args": args, "cwd": folder, "env": {**kept, "PYTHONPATH": str(folder), "MALLOC_ARENA_MAX": "2"}}


def _tail(folder: Path, name: str) -> str:
    return "\n".join((folder / f"{name}.{end}").read_text()[-1500:] for end in ("out", "err"))


@contextmanager
def running(folder: Path, name: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``harvester`` with *words* until the block ends; what it says is in NAME.out and NAME.err.

    In a session of its own, so that Ctrl-C reaches this run only, which ends it in the right order.
    """
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        process = subprocess.Popen(**_command(folder, *words), stdout=out, stderr=err, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(DRAINED)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def finished(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``harvester`` with *words* to its end."""
    return subprocess.run(**_command(folder, *words), capture_output=True, text=True, check=False)


def said(file: Path, pattern: str, process: subprocess.Popen[bytes], stopped: Stopped) -> str:
    """Return what *pattern* finds in what *process* says; raises SystemExit where it ends or takes too long."""
    ends = time.monotonic() + PATIENCE
    while not (found := re.search(pattern, file.read_text())):
        if process.poll() is not None or time.monotonic() > ends or stopped.told:
            raise SystemExit(f"{pattern!r} did not come; what came:\n{file.read_text()[-4000:]}")
        time.sleep(LOOK)
    return found[1]


def configure(folder: Path, cloud: str, every: int) -> None:
    """Write the daemon's configuration; *every* so many seconds it asks for live data."""
    schedule = "\n".join(f'{work} = "{every * times}s"' for work, times in MULTIPLES.items())
    (folder / "harvester.toml").write_text(
        f'[sma]\nauth_url = "{cloud}"\nconsent_url = "{cloud}"\nmonitoring_url = "{cloud}/monitoring/v1"\n'
        f'owners = ["{OWNER}"]\n[lake]\nroot = "lake"\npublish_seconds = {max(every // 2, 1)}\n'
        f'[ledger]\nurl = "sqlite:///ledger.db"\n[web]\noperator = "127.0.0.1:0"\n[schedule]\n{schedule}\n'
    )


@dataclass(slots=True)
class Run:
    """A run: what is to be done, and what was found by now."""

    asked: argparse.Namespace
    folder: Path
    stopped: Stopped
    orders: Orders
    samples: list[dict[str, float]] = field(default_factory=list)
    end: dict[str, Any] = field(default_factory=dict)

    def whole(self) -> None:
        """Start everything, sample until the time is over, print the table, stop and check."""
        shutil.copytree(ROOT / "harvester", self.folder / "harvester")  # whoever works on the code does not disturb
        with ExitStack() as stack:
            cloud, url = self._cloud(stack)
            configure(self.folder, url, self.asked.every)
            finished(self.folder, "consent", "request").check_returncode()
            daemon = stack.enter_context(running(self.folder, "daemon", "daemon"))
            url = said(self.folder / "daemon.err", r'"url": ?"(http[^"]+)"', daemon, self.stopped)
            self._watch(stack, {"daemon": daemon, "local cloud": cloud}, url)
            sys.stdout.write(table(self.figures()))
            sys.stdout.flush()
            self.orders.finish(early=self.stopped.told)
            self._end(daemon)
        self._check()

    def _cloud(self, stack: ExitStack) -> tuple[subprocess.Popen[bytes], str]:
        """Start the local cloud, whose plants are as old as the oldest order needs; return its address, too."""
        orders = int(3600 * self.asked.hours / self.asked.order) + 2
        first = self.orders.span(orders // 2 * 2)[0] - timedelta(days=1)
        size = ("--plants", str(self.asked.plants), "--devices", str(self.asked.devices))
        words = ("sandbox", "--port", "0", "--accept", "--owner", OWNER, "--start", str(first), *size)
        cloud = stack.enter_context(running(self.folder, "cloud", *words))
        return cloud, said(self.folder / "cloud.err", r"(http://[\d.:]+)", cloud, self.stopped)

    def _watch(self, stack: ExitStack, both: dict[str, subprocess.Popen[bytes]], url: str) -> None:
        """Sample and order until the time is over, somebody says so, or daemon or cloud is gone."""
        began = time.monotonic()
        sample_at, order_at = began + self.asked.sample, began + self.asked.order
        while (now := time.monotonic()) < began + 3600 * self.asked.hours and not self.stopped.told:
            if gone := [name for name, process in both.items() if process.poll() is not None]:
                self.troubles.append(f"the {' and the '.join(gone)} ended by itself after {(now - began) / 3600:.2f} h")
                return
            self.orders.look()
            if now >= order_at:
                self.orders.place(stack)
                order_at += self.asked.order
            if now >= sample_at:
                self._sample((now - began) / 3600, both["daemon"].pid, both["local cloud"].pid, url)
                sample_at = max(sample_at + self.asked.sample, time.monotonic())
            time.sleep(LOOK)

    def _sample(self, hour: float, daemon: int, cloud: int, url: str) -> None:
        """Look once; what cannot be had is a trouble of its own."""
        found: dict[str, float] = {HOUR: hour}
        try:
            found |= process_facts(daemon)
            found |= disk(self.folder) | {"cloud": process_facts(cloud)["rss"]} | pages(url)
        except (OSError, HTTPException) as error:
            self.troubles.append(f"after {hour:.2f} h: {type(error).__name__}: {error}")
        found |= {"orders": len(self.orders.codes), "order_seconds": self.orders.seconds}
        self.samples.append(found)
        self.write()
        if len(self.samples) % 20 == 0:
            sys.stderr.write(f"{hour:.2f} h: {found.get('rss', 0):.0f} MiB, {len(self.orders.codes)} orders done\n")

    def _end(self, daemon: subprocess.Popen[bytes]) -> None:
        """Tell the daemon to end, and note how it did."""
        began = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(DRAINED)
        except subprocess.TimeoutExpired:
            self.troubles.append(f"the daemon did not end within {DRAINED:g} s of SIGTERM")
        self.end = {"code": daemon.returncode, "seconds": time.monotonic() - began}
        if daemon.returncode:
            self.troubles.append(f"the daemon ended with {daemon.returncode}: {_tail(self.folder, 'daemon')}")

    def _check(self) -> None:
        """Look whether anything failed, and whether ledger and lake are whole."""
        last = self.samples[-1] if self.samples else {}
        if last.get("failed") or last.get("broken"):
            self.troubles.append(f"slices failed: {last.get('failed')}, work broken: {last.get('broken')}")
        failed = json.loads(finished(self.folder, "status", "--json").stdout)["days"]["failed"]
        self.end |= {"failed_days": failed, **disk(self.folder)}
        if failed or self.end["leftovers"]:
            self.troubles.append(f"{failed} series-days failed, {self.end['leftovers']} temporary files are left")
        questions: list[tuple[str, ...]] = [("lake", "check", "--check"), ("ledger", "check")]
        spans = [self.orders.span(number) for number, code in enumerate(self.orders.codes) if code == 0]
        if spans:
            questions.append(("gaps", "--from", str(min(spans)[0]), "--to", str(max(spans)[1]), "--check"))
        for words in questions:
            found = finished(self.folder, *words)
            if found.returncode:
                self.troubles.append(f"`harvester {' '.join(words)}` says {found.returncode}:\n{found.stdout[-2000:]}")

    @property
    def troubles(self) -> list[str]:
        """What went wrong, the orders' own troubles among it."""
        return self.orders.troubles

    def figures(self) -> list[Told]:
        """Sum up what was sampled."""
        return [told(figure, self.samples) for figure in FIGURES]

    @property
    def good(self) -> bool:
        """Whether nothing rises and nothing went wrong."""
        return not self.troubles and all(one.flat is not False for one in self.figures())

    def write(self) -> None:
        """Write what there is by now, if that is wanted: a run that is killed leaves it."""
        if self.asked.json:
            found = {
                "options": vars(self.asked),
                "samples": self.samples,
                "figures": [asdict(one) for one in self.figures()],
                "orders": self.orders.codes,
                "end": self.end,
                "troubles": self.troubles,
                "good": self.good,
            }
            Path(self.asked.json).write_text(json.dumps(found, indent=1) + "\n")


def main() -> int:
    """Run, print, and return the exit code: 1 where something rises or went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--plants", type=int, default=20)
    parser.add_argument("--devices", type=int, default=10, help="of each plant")
    parser.add_argument("--weeks", type=int, default=6, help="that are ordered again, in turn")
    parser.add_argument("--sample", type=float, default=30.0, help="seconds between two samples")
    parser.add_argument("--order", type=float, default=75.0, help="seconds between two orders; no multiple of --sample")
    parser.add_argument("--every", type=int, default=60, help="seconds between two rounds of live data")
    parser.add_argument("--folder", help="where lake and ledger are for the moment; default: the system's own")
    parser.add_argument("--json", metavar="FILE", help="all figures, too; after trouble FILE.log is the daemon's log")
    asked, stopped = parser.parse_args(), Stopped()
    with tempfile.TemporaryDirectory(prefix="long-run-", dir=asked.folder) as place:
        newest = datetime.now(UTC).date() - timedelta(days=SETTLED_DAYS)
        run = Run(asked, Path(place), stopped, Orders(Path(place), newest, asked.weeks))
        run.whole()
        if run.troubles and asked.json:
            shutil.copy(Path(place) / "daemon.err", f"{asked.json}.log")
    run.write()
    words = [*run.troubles, f"end: {json.dumps(run.end)}", "good" if run.good else "NOT GOOD"]
    sys.stdout.write("\n".join(words) + "\n")
    return 0 if run.good else 1


if __name__ == "__main__":
    sys.exit(main())
