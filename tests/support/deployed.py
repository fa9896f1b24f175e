"""The files under deploy/, read as their own programs read them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCHEMAS = ROOT / "tests" / "deploy" / "schemas"
STATE = Path("/var/lib/harvester")
"""Where lake and ledger are, whoever runs the harvester."""


def documents(file: Path) -> list[Any]:
    """Return the YAML documents of *file*."""
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def complaints(document: Any, schema: str) -> list[str]:
    """Return what the bundled *schema* has against *document*."""
    rules = json.loads((SCHEMAS / schema).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(rules)
    found = jsonschema.Draft202012Validator(rules).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


def within(document: Any, key: str) -> Iterator[Any]:
    """Yield every value of *key*, however deep it lies."""
    if isinstance(document, dict):
        if key in document:
            yield document[key]
        document = list(document.values())
    if isinstance(document, list):
        for each in document:
            yield from within(each, key)


def image() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, continuation lines joined."""
    text = (DEPLOY / "container/Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if re.match(r"[A-Z]", line)]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage of the Dockerfile, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for step, value in image():
        if step == "FROM":
            found.append([])
        if found:
            found[-1].append((step, value))
    return found


def variables(steps: list[tuple[str, str]]) -> dict[str, str]:
    """Return what the ENV instructions among *steps* set."""
    return dict(pair.split("=", 1) for step, value in steps if step == "ENV" for pair in value.split())
