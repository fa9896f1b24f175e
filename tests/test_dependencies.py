"""What the product is made of, checked without a network: pinned, fitting, free to use, and not known to be bad."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()]
PINNED = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LINES if line)}
EXTRAS = {extra: [Requirement(each) for each in given] for extra, given in PROJECT["optional-dependencies"].items()}
DIRECT = [Requirement(text) for text in PROJECT["dependencies"]] + EXTRAS["speed"]

KNOWN_BAD = {
    "aiohttp": ("<3.14.2", "3.14.0 and 3.14.1 break idle pooled connections; earlier ones have known vulnerabilities"),
    "apscheduler": (">=4", "4 is not released for production"),
    "cryptography": ("<44.0.1", "CVE-2024-12797: the bundled OpenSSL may take a server for authenticated that is not"),
    "idna": ("<3.7", "CVE-2024-3651: quadratic time for a long name"),
    "markupsafe": ("<2", "left without support"),
    "orjson": ("<3.9.15", "CVE-2024-27454: no bound on how deep what it reads may be nested"),
    "pyarrow": ("<14.0.1", "CVE-2023-47248: a file that is read runs what it says"),
    "pydantic": ("<2.4", "CVE-2024-3772: quadratic time for an e-mail address"),
    "pygments": ("<2.15.1", "CVE-2022-40896: quadratic time"),
    "pyyaml": ("<5.4", "CVE-2020-14343: a file that is read runs what it says"),
    "polars": ("<2.1", "the decoder relies on how 2.1 counts and explodes"),
}
"""Versions that are not to be used, and why; kept by hand, since asking anybody needs a network."""
FREE = (
    "apache",
    "mit",
    "bsd",
    "isc",
    "psf",
    "python software foundation",
    "mpl-2.0",
    "mozilla public license 2.0",
    "zlib",
)
"""What goes with Apache-2.0: permissive licences, and the MPL, which asks for changes of its own files only."""
UNTOLD = {"tzdata": "Apache-2.0 for the package, its data is in the public domain"}


def needed(direct: list[Requirement]) -> dict[str, metadata.Distribution]:
    """Return the distributions that *direct* needs on this machine, their own needs included, by canonical name."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = list(direct)
    while todo:
        wanted = todo.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[name] = metadata.distribution(wanted.name)
        for text in found[name].requires or ():
            each = Requirement(text)
            environments = [{"extra": extra} for extra in extras or {""}]
            if each.marker is None or any(each.marker.evaluate(environment) for environment in environments):
                todo.append(each)
    return found


PRODUCT = needed(DIRECT)


def test_everything_that_is_installed_is_pinned() -> None:
    """Each package that the product runs on has one version in constraints.txt, and that one is installed."""
    installed = {name: found.version for name, found in PRODUCT.items()}

    assert len(installed) > len(DIRECT)
    assert {name: PINNED.get(name) for name in installed} == installed


def test_every_line_is_one_pin_without_an_address() -> None:
    """Name and version, nothing of any index."""
    lines = [line for line in LINES if line]

    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!]*", line)] == []
    assert len(PINNED) == len(lines)


def test_what_the_project_asks_for_allows_what_is_pinned() -> None:
    """Each direct need, of the tests too, takes its pinned version."""
    asked = [*DIRECT, *EXTRAS["dev"]]

    assert [str(each) for each in asked if PINNED.get(canonicalize_name(each.name)) not in each.specifier] == []


@pytest.mark.parametrize("name", KNOWN_BAD)
def test_nothing_known_to_be_bad_is_pinned(name: str) -> None:
    """Neither pinned nor installed."""
    bad, why = KNOWN_BAD[name]
    version = PINNED[name]

    assert why
    assert version not in SpecifierSet(bad), why


def test_what_is_installed_fits_together() -> None:
    """`pip check` finds no package that asks for another version of another one."""
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def licence_of(found: metadata.Distribution) -> str:
    """Return what the metadata says, as lower-case words: the expression, the classifiers, or the older field."""
    facts = found.metadata
    classified = [text.rpartition("::")[2] for text in facts.get_all("Classifier") or () if text.startswith("License")]
    told = facts.get("License-Expression") or " or ".join(classified) or (facts.get("License") or "").partition("\n")[0]
    return (told or UNTOLD.get(canonicalize_name(facts["Name"]), "")).casefold()


@pytest.mark.parametrize("name", sorted(PRODUCT))
def test_licences_go_with_ours(name: str) -> None:
    """One that is offered suffices, all that are demanded together have to."""
    told = licence_of(PRODUCT[name])
    offered = [option for option in re.split(r"\bor\b", told.replace("(", " ").replace(")", " ")) if option.strip()]
    good = [o for o in offered if all(any(free in part for free in FREE) for part in re.split(r"\band\b", o))]

    assert good, f"{name}: {told!r}"
