"""A configuration as a file that explains itself: what differs from the defaults is active, the rest is commented out.

Every comment is the settings model's own description, so none can go stale.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from harvester import config as settings

_HEAD = """\
# Configuration of the SMA harvester, written by `harvester init`. A line that is commented out shows the default.
# Any key may also be a variable: HARVESTER_RATE__CONCURRENCY=8, lists as JSON: HARVESTER_SMA__OWNERS='["a@b.org"]'.
# `harvester doctor` checks it. No secret belongs here: each has a variable, and one more with _FILE.
"""
_UNSET = "…  (not set)"
_DECIDES = ("sma", "environment")
"""The key that others follow."""


def commented(values: Mapping[str, object]) -> str:
    """Return a TOML file in which *values* (``{"harvest.since": "30d"}``) are active unless they are defaults."""
    schema = settings.json_schema()
    sections = [
        "\n".join(_section(name, schema["$defs"][entry["$ref"].rpartition("/")[2]], values))
        for name, entry in schema["properties"].items()
    ]
    return "\n\n".join([_HEAD, *sections]).replace("\n\n\n", "\n\n") + "\n"


def _section(name: str, section: Mapping[str, Any], values: Mapping[str, object]) -> Iterator[str]:
    environment = values.get("sma.environment", "local")
    decided = settings.show(settings.load(None, environ={}, flags={"sma.environment": environment}))[name]
    yield _comment(section["description"])
    yield f"[{name}]"
    for key, entry in section["properties"].items():
        if (name, key) in settings.SECRETS:
            yield _comment(f"{key}: {entry['description']}")
            continue
        yield _comment(entry["description"])
        # URLs have no default of their own: the environment decides them
        default = entry.get("default", decided[key])
        value = values.get(f"{name}.{key}")
        usual = (default,) if (name, key) == _DECIDES else (default, decided[key])
        if value is None or value in usual:
            yield f"# {key} = {_UNSET if default is None else _toml(default)}"
        else:
            yield f"{key} = {_toml(value)}"


def _comment(text: str) -> str:
    """Return *text* as a comment, however its author broke the lines."""
    return "\n".join(f"# {line}" for line in textwrap.wrap(" ".join(text.split()), 110))


def _toml(value: object) -> str:
    """Spell text, a number or a list of texts; what JSON writes for these is TOML too."""
    return json.dumps(value, ensure_ascii=False)
