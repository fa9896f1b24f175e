"""Where configured values come from, which one wins, and how to tell a person what is wrong with one.

Knows neither the keys nor their types: it moves values between sources and words problems.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

from harvester.errors import ConfigError

PREFIX = "HARVESTER_"
DELIMITER = "__"

Key: TypeAlias = tuple[str, ...]
"""Section and key; a section's name alone where the section itself holds a value."""


@dataclass(frozen=True, slots=True)
class Given:
    """One value as a source gives it."""

    value: object = field(repr=False)
    place: str
    """What a person looks for to change it: a flag, a variable, a file."""


Layer: TypeAlias = Mapping[Key, Given]
"""Everything that one source gives."""


def from_flags(flags: Mapping[str, object]) -> Layer:
    """Take the flags that were given; None stands for one that was not."""
    return {
        tuple(name.split(".", maxsplit=1)): Given(value, f"flag {name}")
        for name, value in flags.items()
        if value is not None
    }


def variables(environ: Mapping[str, str], sections: Collection[str]) -> dict[str, str]:
    """Return the variables of the known sections that are not empty, by their upper-case name.

    An empty variable is what container tools pass on for one that nobody has set.
    """
    mine = {f"{PREFIX}{section}{DELIMITER}".upper() for section in sections}
    return {
        name.upper(): value
        for name, value in environ.items()
        if value and any(name.upper().startswith(start) for start in mine)
    }


def variable(key: Key) -> str:
    """Return the environment variable that sets *key*."""
    return f"{PREFIX}{DELIMITER.join(key)}".upper()


def from_environment(values: Mapping[str, object]) -> Layer:
    """Take the decoded environment: sections of keys."""
    return {key: Given(value, variable(key)) for key, value in _flat(values)}


def file_variables(secrets: Iterable[Key]) -> dict[str, Key]:
    """Return the variables that may name a file with a secret in it."""
    return {f"{variable(key)}_FILE": key for key in secrets}


def from_secret_files(names: Mapping[str, str], secrets: Iterable[Key]) -> tuple[Layer, dict[Key, str]]:
    """Read the secrets whose ``_FILE`` variable names a file; return them and what is wrong with the others.

    Blanks around the content are no part of a secret: editors end files with a newline.
    """
    layer, problems = {}, {}
    for name, key in file_variables(secrets).items():
        if name not in names:
            continue
        try:
            layer[key] = Given(_secret(Path(names[name])), name)
        except OSError as error:
            # The path stays unsaid: it may be the secret itself, put into the wrong variable.
            problems[key] = f"the file that {name} names cannot be read: {error.strerror}"
        except ValueError:
            problems[key] = f"the file that {name} names must hold text"
    return layer, problems


def _secret(path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        content = ""
    if not content:
        raise ValueError("no text")
    return content


def from_toml(path: Path) -> Layer:
    """Read a configuration file."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: byte {error.start} cannot be read") from None
    except tomllib.TOMLDecodeError as error:
        end = f"at line {text.count(chr(10)) + 1}, the end of the document"
        raise ConfigError(f"{path} is not TOML: {str(error).replace('at end of document', end)}") from None
    return {key: Given(value, str(path)) for key, value in _flat(document)}


def _flat(document: Mapping[str, object]) -> Iterable[tuple[Key, object]]:
    for section, content in document.items():
        if isinstance(content, Mapping):
            yield from (((section, name), value) for name, value in content.items())
        else:
            yield (section,), content


def merged(layers: Sequence[Layer]) -> Layer:
    """Lay the *layers* over each other; the first one that gives a key wins."""
    return {key: given for layer in reversed(layers) for key, given in layer.items()}


def sections_of(layer: Layer) -> dict[str, object]:
    """Return the values of *layer* as sections of keys; a value where a section belongs stays what it is."""
    document: dict[str, object] = {}
    nested: dict[str, dict[str, object]] = {}
    for key, given in layer.items():
        if len(key) > 1:
            nested.setdefault(key[0], {})[key[1]] = given.value
        else:
            document[key[0]] = given.value
    return {**nested, **document}


def given_twice(layers: Sequence[Layer], secrets: Iterable[Key]) -> dict[Key, str]:
    """Return a problem for each of the *secrets* that more than one source gives."""
    problems = {}
    for key in secrets:
        places = [layer[key].place for layer in layers if key in layer]
        if len(places) > 1:
            problems[key] = f"given twice, in {' and in '.join(places)}; must be given once"
    return problems


def unknown(key: Key, known: Mapping[str, Collection[str]]) -> str:
    """Word what is wrong with a key that nobody reads, and which one was meant."""
    *section, name = key
    kind, names = ("key", known[section[0]]) if section else ("section", tuple(known))
    if close := get_close_matches(name, names, n=1):
        return f"unknown {kind}; did you mean {close[0]}?"
    if homes := [home for home, keys in known.items() if name in keys]:
        return f"unknown {kind}; did you mean {name} of [{homes[0]}]?"
    return f"unknown {kind}; must be one of {', '.join(names)}"


def dotted(path: Sequence[int | str]) -> str:
    """Spell the path of a value: ``sma.owners[0]``."""
    first, *rest = path
    return str(first) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)


def refused(path: Path | None, problems: Mapping[str, str]) -> ConfigError:
    """Return the error that names every problem, one a line."""
    lines = [f"  {key}: {text}" for key, text in problems.items()]
    return ConfigError("\n".join([f"{path or 'the configuration'} is refused:", *lines]), problems=problems)
