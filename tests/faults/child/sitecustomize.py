"""What Python imports first in a child that is to be killed or refused: it names every step that leaves a trace.

The product knows nothing of it. A plan (JSON, in the file that FAULTS_PLAN names) says where the child works, which
steps end it (SIGKILL to itself), and which fail as a full disk or a missing right does. A step is called by when, what
and on what: ``before rename partition``, ``after commit budget``. ``torn`` is a kill in the middle of a write: half of
the unfinished file is on the disk.
"""

# What is wrapped has no types of its own.
# ruff: noqa: ANN001, ANN002, ANN003, ANN202

import json
import os
import pathlib
import re
import signal
import sqlite3
import sqlite3.dbapi2
import stat
import threading
from collections import Counter

PLACES = (
    (r"_harvester/lake\.json", "lake.json"),
    (r"_harvester/registry\.json", "registry.json"),
    (r"_harvester/lock.*", "lock"),
    (r"_harvester/quarantine/.*\.body", "quarantined body"),
    (r"_harvester/quarantine/.*\.json", "quarantined facts"),
    (r"_harvester/raw/.*\.pack", "raw pack"),
    (r"_harvester/raw/replays\.json", "replays.json"),
    (r"_harvester/snapshots/.*", "snapshot"),
    (r"_harvester/audit\.jsonl", "audit"),
    (r"_harvester(/.*)?", "own folder"),
    (r"revisions/.*", "revisions"),
    (r"(plants|devices|aliases)/.*", "master data"),
    (r".*_(daily|monthly|yearly)(_by_index)?/.*", "period partition"),
    (r".*_by_index/.*", "index partition"),
    (r"[a-z][a-z0-9_]*/.*parquet", "partition"),
)
"""What lies where below the lake's root, as the contract draws it; the first that fits counts."""
LEDGER = (
    (r"{name}", "ledger"),
    (r"{name}-(wal|shm)", "ledger's log"),
    (r"{name}\.aside-\w+", "ledger moved aside"),
    (r"{name}\.aside-.*-(wal|shm)", "log of the ledger moved aside"),
    (r"\.{name}\.rebuilding", "ledger in the making"),
    (r"\.{name}\.rebuilding-(wal|shm)", "log of the ledger in the making"),
)
"""What lies in the ledger's folder; what SQLite does there itself is seen as changes and commits."""
TABLES = {
    **dict.fromkeys(("plant", "device", "series", "alias"), "inventory"),
    **dict.fromkeys(("month", "open_day"), "days"),
    **dict.fromkeys(("work_order", "order_share"), "orders"),
    **dict.fromkeys(("owner", "owner_plant"), "owners"),
    "period_read": "sums",
    "meta": "facts",
    "alembic_version": "migration",
}
"""What the tables of the ledger are called in the names of steps; others by their own names."""
CHANGE = re.compile(
    r"\s*(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM|CREATE\s+TABLE)\s+\"?(\w+)", re.IGNORECASE
)
UNFINISHED = re.compile(r"^\.(.+)\.[0-9a-f]{32}\.tmp.*$")


class Plan:
    """What is to happen to this process."""

    def __init__(self, words: dict) -> None:
        self.lake = words["lake"].rstrip("/")
        self.ledger = pathlib.Path(words.get("ledger") or f"{self.lake}-has-none")
        name = re.escape(self.ledger.name)
        self.beside = [(re.compile(pattern.format(name=name)), called) for pattern, called in LEDGER]
        self.log = os.open(words["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.record = bool(words.get("record"))
        self.kill = Counter(words.get("kill", {}))
        self.kill_at = words.get("kill_at", 0)
        self.refuse = [
            (re.compile(each["step"]), each["errno"], each.get("after", 0)) for each in words.get("refuse", ())
        ]
        self.refused = Counter()
        self.busy_seconds = words.get("busy_seconds")
        self.most_pages = words.get("most_pages")
        self.passed = Counter()
        self.whole = {}
        self.steps = 0
        self.turn = threading.Lock()

    def step(self, when: str, what: str, place: "str | None", torn: "int | None" = None) -> None:
        """Pass a step: go on, be killed, or raise OSError."""
        if place is None:
            return
        name = f"{when} {what} {place}"
        with self.turn:
            self.steps += 1
            self.passed[name] += 1
            if self.record:
                self._tell(name)
            if self.passed[name] == self.kill[name] or self.steps == self.kill_at:
                if torn is not None:
                    self._tear(torn)
                self._tell(f"killed {name}")
                os.kill(os.getpid(), signal.SIGKILL)
        self._refuse(name)

    def writing(self, descriptor: int) -> None:
        """Note how much of a file is on the disk that is about to be added to."""
        facts = os.fstat(descriptor)
        self.whole.setdefault((facts.st_dev, facts.st_ino), facts.st_size)

    def synced(self, descriptor: int) -> None:
        """Note that all of a file is on the disk."""
        facts = os.fstat(descriptor)
        self.whole.pop((facts.st_dev, facts.st_ino), None)

    def _tear(self, descriptor: int) -> None:
        """Leave half of what is not on the disk yet."""
        facts = os.fstat(descriptor)
        whole = min(self.whole.get((facts.st_dev, facts.st_ino), 0), facts.st_size)
        os.truncate(f"/proc/self/fd/{descriptor}", whole + (facts.st_size - whole) // 2)

    def _refuse(self, name: str) -> None:
        for number, (wanted, code, after) in enumerate(self.refuse):
            if wanted.fullmatch(name):
                self.refused[number] += 1
                if self.refused[number] > after:
                    self._tell(f"refused {name}")
                    raise OSError(code, os.strerror(code))

    def _tell(self, line: str) -> None:
        SYSTEM.write(self.log, line.encode() + b"\n")

    def place(self, path: object) -> "str | None":
        """Return what lies at *path*, None for what is not the lake's."""
        try:
            text = os.path.abspath(os.fspath(path))  # noqa: PTH100 - no link is to be followed
        except TypeError:
            return None
        if not text.startswith(f"{self.lake}/"):
            return self._beside(*text.rsplit("/", 1))
        folder, _, name = text[len(self.lake) + 1 :].rpartition("/")
        found = UNFINISHED.match(name)
        inside = f"{folder}/{found[1] if found else name}".lstrip("/")
        return next((called for pattern, called in PLACES if re.fullmatch(pattern, inside)), None)

    def _beside(self, folder: str, name: str) -> "str | None":
        """Return what *name* is in the ledger's folder."""
        if folder != str(self.ledger.parent):
            return None
        found = UNFINISHED.match(name)
        return next((called for pattern, called in self.beside if pattern.fullmatch(found[1] if found else name)), None)

    def opened(self, descriptor: int) -> "str | None":
        """Return what *descriptor* has open; a folder is called after the files in it."""
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - this runs often
            if path == str(self.ledger.parent):
                return "folder of ledger"
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                called = self.place(f"{path}/part-00000.parquet" if "_harvester" not in path else f"{path}/x")
                return f"folder of {called}" if called else None
        except OSError:
            return None
        return self.place(path)


class System:
    """The functions as they were."""

    replace, rename, link, unlink, fsync = os.replace, os.rename, os.link, os.unlink, os.fsync
    write, pwrite, ftruncate, chmod = os.write, os.pwrite, os.ftruncate, os.chmod
    write_bytes, touch = pathlib.Path.write_bytes, pathlib.Path.touch
    connect = sqlite3.connect


SYSTEM = System()


def watch_files(plan: Plan) -> None:
    """Make every change of a file below the lake a step."""

    def around(what: str, original, place_of):
        def call(*args, **kwargs):
            place = place_of(*args)
            plan.step("before", what, place)
            result = original(*args, **kwargs)
            plan.step("after", what, place)
            return result

        return call

    def fsync(descriptor: int) -> None:
        place = plan.opened(descriptor)
        if place and not place.startswith("folder"):
            plan.step("torn", "write", place, torn=descriptor)
        plan.step("before", "fsync", place)
        System.fsync(descriptor)
        plan.synced(descriptor)
        plan.step("after", "fsync", place)

    def to(_source: object, target: object, **_kwargs: object) -> "str | None":
        return plan.place(target)

    def at(path: object, *_args: object, **_kwargs: object) -> "str | None":
        return plan.place(path)

    def into(descriptor: int, *_args: object) -> "str | None":
        place = plan.opened(descriptor)
        if place:
            plan.writing(descriptor)
        return place

    os.replace = around("rename", System.replace, to)
    os.rename = around("rename", System.rename, to)
    os.link = around("link", System.link, to)
    os.unlink = os.remove = around("unlink", System.unlink, at)
    os.chmod = around("chmod", System.chmod, at)
    os.fsync = fsync
    os.write = around("write", System.write, into)
    os.pwrite = around("write", System.pwrite, into)
    os.ftruncate = around("truncate", System.ftruncate, into)
    pathlib.Path.write_bytes = around("write", System.write_bytes, at)
    pathlib.Path.touch = around("create", System.touch, at)


def watch_databases(plan: Plan) -> None:  # noqa: C901 - classes that share one plan
    """Make every changing statement and every commit a step."""

    class Cursor(sqlite3.Cursor):
        def execute(self, sql, *args):
            return self._around(sql, super().execute, sql, *args)

        def executemany(self, sql, *args):
            return self._around(sql, super().executemany, sql, *args)

        def _around(self, sql, run, *args):
            found = CHANGE.match(sql)
            place = TABLES.get(found[1].lower(), found[1].lower()) if found else None
            if sql.lstrip().upper().startswith("VACUUM INTO"):
                place = "snapshot"
            plan.step("before", "change", place)
            result = run(*args)
            if found and self.connection.changed is None:
                self.connection.changed = place
            plan.step("after", "change", place)
            return result

    class Connection(sqlite3.Connection):
        changed = None

        def cursor(self, factory=Cursor):
            return super().cursor(factory)

        def commit(self):
            place, self.changed = self.changed, None
            plan.step("before", "commit", place)
            super().commit()
            plan.step("after", "commit", place)

        def rollback(self):
            self.changed = None
            super().rollback()

    def connect(*args, **kwargs):
        if plan.busy_seconds is not None:
            kwargs["timeout"] = plan.busy_seconds
        opened = System.connect(*args, **{"factory": Connection, **kwargs})
        if plan.most_pages is not None:
            opened.execute(f"PRAGMA max_page_count = {plan.most_pages}")  # beyond them SQLite's disk is full
        return opened

    sqlite3.connect = sqlite3.dbapi2.connect = connect


def begin() -> None:
    """Follow the plan, where there is one."""
    if "FAULTS_PLAN" in os.environ:
        plan = Plan(json.loads(pathlib.Path(os.environ["FAULTS_PLAN"]).read_text()))
        watch_files(plan)
        watch_databases(plan)


begin()
