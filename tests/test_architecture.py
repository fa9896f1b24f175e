"""The house stands as it is drawn: who imports whom, who owns which library, who reads the clock, how long things are.

Each rule is a function over the parsed package, and each is shown to bite by a package of one or two files.
"""

import ast
import builtins
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harvester import errors

PACKAGE = Path(__file__).parents[1] / "harvester"
Tree = dict[str, ast.Module]
Rule = Callable[[Tree], Iterator[str]]

LAYERS = """
__main__ cli
cli.app
daemon.duty
cli.care cli.consent cli.ops cli.purge cli.questions daemon.panel daemon.rounds
commands care.purging care.tending cli.energy ops.doctor questions.overview
demo handover cli.options daemon.daemon daemon.watchers ops.machine owners.consenting questions.asking
questions.explaining questions.preview
compose care.replay daemon.jobs questions.reconcile
harvest care.purge care.unarchived daemon.counter lake.check lake.upgrade questions.accounts questions.estimate
intake care.rebuild lake.contract lake.dictionary lake.energy lake.purge
gather lake.evidence lake.inventory ops.lookout
departures lake.parquet
taken lake.fold lake.period_rows ops.alerts ops.watching ops.web owners.listing
owners.standing questions.coverage_page questions.heatmap
discover errand lake.decode lake.quarantine ops.connect ops.initial ops.metrics ops.outbox ops.pages owners.consents
questions.coverage questions.dossier questions.gaps sma.code_client
due care.entombing daemon.schedule lake.answers lake.readings ops.attention ops.commented ops.connect_visits ops.gauges
lake.columns ops.interview ops.records ops.standing questions.budget questions.explain questions.plausibility sma.client
sma.owner_tokens
config outlook lake.lake lake.merge lake.registry lake.rows lake.runs ops.connect_link ops.contact questions.ages
lake.stamps questions.aliases questions.standing questions.survey sma.code_grant sma.consent sma.exchange sma.monitoring
state.connections state.purges
periods purse show config.daemon lake.audit lake.lock lake.measure lake.passes lake.raw lake.replays lake.sample
lake.schema questions.content sma.answers sma.tally sma.tokens state.history state.inventory state.ledger
state.mentions state.restoration state.snapshot state.vault
catalog daylight fetch log plan report config.sections config.sources lake.atomic lake.layout lake.naming lake.packing
ops.reach owners.owner_list questions.freshness sma.pace sma.retry sma.wire state.agenda state.budget state.database
state.kinship state.orders state.owners state.period_ledger state.standing state.succession state.tombstones
state.migrations.env
care clock daemon errors lake live model ops owners questions sma state stopping week . config.values daemon.lanes
ops.conditions ops.connect_limit ops.connect_pages ops.finding ops.health ops.kept owners.attribution
sma.credit sma.discretion sma.encoding sma.learning sma.settings sma.window
state.migrations state.packed state.settlement state.tables state.upgrade
state.migrations.versions state.migrations.versions.v0001_first state.migrations.versions.v0002_service
"""
"""Every module, highest first: one imports only from the lines below its own. A dot is the package itself."""
LINES = LAYERS.strip().splitlines()
LAYER = {module: len(LINES) - number for number, line in enumerate(LINES) for module in line.split()}

ROOMS = ("sma", "lake", "state")
"""None knows another; `harvest` and what is above it hand one to another."""
IMPORTERS = {
    "cli": {"__main__"},
    "commands": {"cli"},
    "demo": {"cli"},
    "config": {
        *("care", "cli", "commands", "compose", "daemon", "demo", "errand", "handover", "ops", "owners", "questions"),
    },
    "sandbox": {"cli", "demo"},
    "state.migrations": {"state.database"},
}
"""The only importers of these from outside of them."""
OWNERS = {
    "aiohttp": {"sma.client", "sandbox", "ops"},
    "alembic": {"state"},
    "apscheduler": {"daemon.schedule"},
    "astral": {"daylight"},
    "asyncio_throttle": {"sma.window"},
    "cryptography": {"state.vault"},
    "isal": {"sma.encoding"},
    "polars": {"lake"},
    "prometheus_client": {"ops.metrics"},
    "pyarrow": {"lake"},
    "pydantic": {"config"},
    "pydantic_core": {"config"},
    "pydantic_settings": {"config"},
    "rich": {"show", "questions.heatmap", "cli"},  # cli: `escape`, for the one line that a failed command ends with
    "sqlalchemy": {"state", "compose"},  # compose: the name of the type that it opens and closes
    "typer": {"cli"},
    "uvloop": {"commands"},
}
"""Each library and the only modules or rooms that know it."""
INNER = {("commands", "uvloop")}
"""Imports inside of functions: an optional extra."""
PURE = (
    *("errors", "model", "catalog", "clock", "week", "live", "plan", "periods", "report", "daylight"),
    *("sma.wire", "sma.retry", "sma.encoding", "sma.discretion", "sma.answers", "sma.learning"),
    *(
        "lake.naming",
        "lake.schema",
        "lake.layout",
        "lake.merge",
        "lake.stamps",
        "lake.runs",
        "lake.rows",
        "lake.columns",
    ),
    *("state.packed", "state.settlement"),
    *("questions.ages", "questions.content", "questions.coverage", "questions.coverage_page"),
    *("questions.dossier", "questions.explain", "questions.gaps", "questions.plausibility"),
    *("owners.attribution", "daemon.lanes", "ops.attention", "ops.gauges", "ops.health", "ops.pages", "ops.standing"),
)
"""What these say depends on what they are handed and on nothing else."""
WORLD = {"asyncio", "aiohttp", "os", "time", "random"}
CLOCKS = {"cli", "compose", "daemon", "log", "sma.client", "sandbox.zones", "sandbox.cloud"}
"""Who may read the clock of the wall; everybody else is handed the time."""
MONOTONIC = {
    "daemon.daemon",
    "sma.code_client",
    "sma.exchange",
    "sma.owner_tokens",
    "sma.pace",
    "sma.tokens",
    "sandbox",
}
"""Who may measure how long something takes."""
BANNED = {"utils", "util", "helpers", "manager", "base", "common", "core", "misc", "service", "handler"}
BUILT_IN = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
}
LONGEST_FILE, LONGEST_FUNCTION = 320, 45
OUTSIDERS = {"AnswerError"} | {"UnknownZone", "ImpossibleStamp", "BadQuestionError"}
"""Not in the drawn tree: what Retry and Skip share; wrong values that never leave clock and sandbox as they are."""


def parsed(package: Path) -> Tree:
    """Return the modules below *package* by their names within it; the package itself is a dot."""
    files = {f.relative_to(package).with_suffix("").parts: f for f in sorted(package.rglob("*.py"))}
    names = {".".join(parts[:-1] if parts[-1] == "__init__" else parts) or ".": f for parts, f in files.items()}
    return {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in names.items()}


@pytest.fixture(scope="module")
def package() -> Tree:
    """Return the modules of the product."""
    return parsed(PACKAGE)


def imports(node: ast.AST) -> Iterator[str]:
    """Yield the full name of every module or object that is imported anywhere in *node*."""
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from (alias.name for alias in found.names)
        elif isinstance(found, ast.ImportFrom):
            yield from (f"{'.' * found.level}{found.module or ''}.{alias.name}" for alias in found.names)


def ours(tree: Tree, name: str) -> Iterator[str]:
    """Yield the modules of *tree* that module *name* imports."""
    for full in imports(tree[name]):
        parts = full.split(".")
        if parts[0] == "harvester":
            found = next(m for n in range(len(parts), 0, -1) if (m := ".".join(parts[1:n]) or ".") in {*tree, "."})
            if found != name:
                yield found


def within(name: str, *rooms: str) -> bool:
    """Return whether module *name* is one of *rooms* or inside of one."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method in *node*."""
    yield from (f for f in ast.walk(node) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef))


def layered(tree: Tree) -> Iterator[str]:
    """Every module has its layer and imports only from lower ones, so nothing imports in a circle."""
    for name in tree:
        if within(name, "sandbox"):
            continue
        if name not in LAYER:
            yield f"{name} has no layer: give it one"
            continue
        above = (m for m in ours(tree, name) if not within(m, "sandbox") and LAYER.get(m, 99) >= LAYER[name])
        yield from (f"{name} imports {other}, which is not below it" for other in above)


def apart(tree: Tree) -> Iterator[str]:
    """Rooms do not know each other, the sandbox knows nobody, and nobody imports by a relative name."""
    for name, module in tree.items():
        room = name.split(".")[0]
        yield from (f"{name} imports {full}" for full in imports(module) if full.startswith("."))
        for other in ours(tree, name):
            target = other.split(".")[0]
            if (room in ROOMS and target in ROOMS and room != target) or (room == "sandbox" != target):
                yield f"{name} imports {other}"


def guarded(tree: Tree) -> Iterator[str]:
    """Only those who may import a module do."""
    for name in tree:
        for other in ours(tree, name):
            yield from (
                f"{name} imports {other}"
                for kept, allowed in IMPORTERS.items()
                if within(other, kept) and not within(name, kept, *allowed)
            )


def owned(tree: Tree) -> Iterator[str]:
    """Each outside library has one owner, and one module sets up logging."""
    for name, module in tree.items():
        for library in {full.split(".")[0] for full in imports(module)} & OWNERS.keys():
            if not within(name, *OWNERS[library]):
                yield f"{name} imports {library}"
        attributes = (n for n in ast.walk(module) if isinstance(n, ast.Attribute) and n.attr == "configure")
        if name != "log" and any(ast.unparse(n) == "structlog.configure" for n in attributes):
            yield f"{name} sets up logging"


def at_the_top(tree: Tree) -> Iterator[str]:
    """No function imports anything, but for the ones with a reason."""
    for name, module in tree.items():
        inner = (full for function in functions(module) for full in imports(function))
        yield from (
            f"{name} imports {full} inside of a function"
            for full in inner
            if not any(name == module and within(full, target) for module, target in INNER)
        )


def named(tree: Tree) -> Iterator[str]:
    """No module is an attic, and none has the name of one of the standard library."""
    for name in tree:
        last = name.split(".")[-1]
        if last in BANNED or (last in sys.stdlib_module_names and last != "__main__"):
            yield f"{name} is no name for a module"


def short(tree: Tree) -> Iterator[str]:
    """Files and functions fit a reader's head; a migration is as long as what it makes."""
    for name, module in tree.items():
        lines = max((n.end_lineno or 0 for n in module.body), default=0)
        if lines > LONGEST_FILE:
            yield f"{name} has {lines} lines"
        for function in functions(module):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > LONGEST_FUNCTION and not within(name, "state.migrations.versions"):
                yield f"{name}.{function.name} has {length} lines"


def one_tree_of_errors(tree: Tree) -> Iterator[str]:
    """Every error is defined in `errors` and stands in the tree that is drawn there, below an ancestor of its own."""
    drawn = re.findall(r"^ {4}([│ ]*)(?:[├└]── )?(\w+)", ast.get_docstring(tree["errors"]) or "", flags=re.MULTILINE)
    path: list[str] = []
    above: dict[str, set[str]] = {}
    for indent, error in drawn:
        path[len(indent) // 4 + 1 if path else 0 :] = [error]
        above[error] = set(path[:-1])
    bases: dict[str, set[str]] = {}
    for name, module in sorted(tree.items(), key=lambda item: item[0] != "errors"):
        for found in (n for n in ast.walk(module) if isinstance(n, ast.ClassDef)):
            direct = {ast.unparse(base).split(".")[-1] for base in found.bases}
            if not any(base in bases or base in BUILT_IN for base in direct):
                continue
            bases[found.name] = direct.union(*(bases.get(base, set()) for base in direct))
            if found.name not in OUTSIDERS and (name != "errors" or found.name not in above):
                yield f"{name}.{found.name} is not in the tree of errors"
            elif not above.get(found.name, set()) <= bases[found.name]:
                yield f"{found.name} is drawn below {above[found.name]}"


def homeless(tree: Tree) -> Iterator[str]:
    """No code opens a path under config/ or storage/; that a default lies there is for the configuration to say."""
    for name, module in tree.items():
        docs = {id(n.value) for n in ast.walk(module) if isinstance(n, ast.Expr)}
        texts = (n for n in ast.walk(module) if isinstance(n, ast.Constant) and isinstance(n.value, str))
        named = [n.value for n in texts if id(n) not in docs and re.search(r"\b(config|storage)/", n.value)]
        if name != "config.sections":
            yield from (f"{name} names {text!r}" for text in named)


def pure(tree: Tree) -> Iterator[str]:
    """Nothing pure asks the network, the system or chance."""
    for name in PURE:
        used = {full.split(".")[0] for full in imports(tree.get(name, ast.Module([], [])))}
        yield from (f"{name} imports {module}" for module in used & WORLD)


def clocked(tree: Tree) -> Iterator[str]:
    """Who reads the clock is on the list; everybody else is handed the time."""
    wall = re.compile(r"(dt\.|datetime\.)?(datetime|date)\.(now|utcnow|today)|time\.(time|time_ns|localtime|gmtime)")
    ticks = re.compile(r"time\.(monotonic|perf_counter)(_ns)?")
    for name, module in tree.items():
        read = {ast.unparse(n) for n in ast.walk(module) if isinstance(n, ast.Attribute)}
        read |= {full for full in imports(module) if full.startswith("time.")}
        yield from (f"{name} reads {r}" for r in read if wall.fullmatch(r) and not within(name, *CLOCKS))
        yield from (f"{name} reads {r}" for r in read if ticks.fullmatch(r) and not within(name, *MONOTONIC))


BREACHES: list[tuple[Rule, dict[str, str]]] = [
    (layered, {"model": "", "clock": "from harvester.plan import between", "plan": "import harvester.clock"}),
    (layered, {"novelty": ""}),
    (apart, {"sma.wire": "from harvester.lake import layout", "lake.layout": ""}),
    (apart, {"sandbox.sky": "from harvester.model import Plant", "model": ""}),
    (apart, {"plan": "from .model import Plant"}),
    (guarded, {"commands": "from harvester import cli", "cli": ""}),
    (guarded, {"plan": "import harvester.config", "config": ""}),
    (guarded, {"commands": "from harvester.sandbox import serving", "sandbox": ""}),
    (owned, {"harvest": "from aiohttp import ClientSession"}),
    (owned, {"commands": "import polars as pl"}),
    (owned, {"commands": "import structlog\nstructlog.configure()"}),
    (at_the_top, {"plan": "def f():\n    import json"}),
    (named, {"lake.utils": ""}),
    (named, {"sma.token": ""}),
    (short, {"plan": "x = 1\n" * 321}),
    (short, {"plan": "def f():\n" + "    x = 1\n" * 45}),
    (one_tree_of_errors, {"errors": '"""Drawn::\n\n    Root\n    └── Leaf\n"""', "plan": "class E(ValueError): ..."}),
    (
        one_tree_of_errors,
        {"errors": '"""Drawn::\n\n    Root\n    └── A\n        └── B\n"""\nclass A(Exception): ...\nclass B(A): ...'},
    ),
    (homeless, {"plan": 'open("storage/data/lake")'}),
    (pure, {"plan": "from time import time"}),
    (clocked, {"plan": "import datetime as dt\ndt.datetime.now(dt.UTC)"}),
    (clocked, {"plan": "from datetime import date\ndate.today()"}),
    (clocked, {"lake.lake": "from time import monotonic"}),
]
RULES = list(dict.fromkeys(rule for rule, _ in BREACHES))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps(rule: Rule, package: Tree) -> None:
    """Each rule holds for every module of the package."""
    assert list(rule(package)) == []


@pytest.mark.parametrize(("rule", "files"), BREACHES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_breach_is_seen(rule: Rule, files: dict[str, str], tmp_path: Path) -> None:
    """Each rule names the module of a small package that breaks it."""
    for name, text in files.items():
        file = tmp_path / f"{name.replace('.', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    assert list(rule(parsed(tmp_path)))


def test_the_tables_name_no_module_that_is_gone(package: Tree) -> None:
    """What the rules list is there, so that none of them guards a name that nothing has any more."""
    listed = {*LAYER, *PURE, *IMPORTERS, *(name for name, _ in INNER)}

    assert len(package) > len(LAYER)
    assert sorted(listed - package.keys()) == []


def test_every_error_has_an_exit_code_of_the_contract() -> None:
    """1 unexpected, 2 usage or configuration, 3 something failed, 4 nothing could be asked."""
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]

    assert len(found) > 15
    assert {issubclass(error, errors.HarvestError) for error in found} == {True}
    assert {error.exit_code for error in found} == {1, 2, 3, 4}
