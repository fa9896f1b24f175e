"""The one place that sets up logging: how a line looks, where it goes, and what must never be in it.

Sole caller of `structlog.configure`. An event is a name with facts: coloured text at a
terminal, a line of JSON elsewhere. What libraries log through `logging` takes the same way.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from json import dumps
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from harvester.errors import ConfigError

MASK = "***"
LEVELS = ("debug", "info", "warning", "error", "critical")

_SECRET_KEY = re.compile(r"authorization|token|secret|passw|cookie|credential|client_?id", re.IGNORECASE)
_SECRETS = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", rf"\1 {MASK}"),
        # A JSON Web Token begins with {" in base64.
        (r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?", MASK),
        # Forms, query strings and JSON inside of a text.
        (
            r"""(token|secret|password|client_id|assertion|[?&]code)(=|["']\s*:\s*["'])[^\s"'&,;}]+""",
            rf"\1\2{MASK}",
        ),
        # The user and password of a URL.
        (r"(?<=://)[^/\s@]+@", f"{MASK}@"),
    )
)
# A match begins where a run of these characters begins, so that a long text is scanned once.
_LOCAL = r"[\w.%+'-]"
_EMAIL = re.compile(rf"(?<!{_LOCAL})({_LOCAL}){_LOCAL}*?(@|%40)((?:[\w-]+\.)+[\w-]+)", re.IGNORECASE)
_WIDEST = 2**63
_UNUSUAL = re.compile(r"[^ -~\n]+")
_BLOCKS = {"exception", "stack"}
"""Facts that are several lines."""


def configure(*, level: str = "info", stream: TextIO | None = None, json: bool | None = None) -> None:
    """Send events from *level* on to *stream* (standard error), as JSON unless it is a terminal.

    Libraries are heard from ``warning`` on, and from *level* on where that is ``debug``.
    """
    if level not in LEVELS:
        raise ConfigError(f"log level {level!r} is unknown; must be one of {', '.join(LEVELS)}")
    stream = stream or sys.stderr
    as_json = not stream.isatty() if json is None else json
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_chain(), *([_json_bytes] if as_json else [_legible, _console(stream)])],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_factory(stream, as_json=as_json),
        # A later call must reach loggers that exist already.
        cache_logger_on_first_use=False,
    )
    _bridge(stream, [_json_text] if as_json else [_legible, _console(stream)], threshold)


def _chain() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]


def _factory(stream: TextIO, *, as_json: bool) -> Callable[..., WrappedLogger]:
    if as_json:
        return structlog.BytesLoggerFactory(file=stream.buffer)
    return structlog.WriteLoggerFactory(file=stream)


def _console(stream: TextIO) -> Processor:
    # Plain tracebacks: the pretty ones print local variables.
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _json_bytes(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    return _json(event).encode()


def _json_text(_: WrappedLogger, __: str, event: EventDict) -> str:
    return _json(event)


def _json(event: EventDict) -> str:
    return spelt(orjson.dumps(event).decode())


def _legible(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Spell what would steer a terminal, or begin a line of its own, in names that came from the network."""
    return {_in_one_line(key): _shown(key, value) if isinstance(value, str) else value for key, value in event.items()}


def _shown(key: str, text: str) -> str:
    return spelt(text) if key in _BLOCKS else _in_one_line(text)


def _in_one_line(text: str) -> str:
    return spelt(text).replace("\n", "\\n")


def spelt(text: str) -> str:
    r"""Return *text* with what cannot be printed as JSON may spell it, ``\u202e``; letters and line breaks stay."""
    return _UNUSUAL.sub(lambda found: "".join(c if c.isprintable() else dumps(c)[1:-1] for c in found[0]), text)


def _bridge(stream: TextIO, render: Sequence[Processor], threshold: int) -> None:
    """Give what libraries log through `logging` the same form; replaces all handlers of the root."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_chain(), *render],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold if threshold == logging.DEBUG else max(threshold, logging.WARNING))


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Mask secrets and e-mail addresses in all keys and values of *event*; leave only what JSON can spell."""
    return _mapping(event)


def _mapping(facts: Mapping[Any, Any]) -> dict[str, Any]:
    masked = {}
    for key, value in facts.items():
        name, secret = _key(str(key))
        masked[name] = MASK if secret and value is not None else _value(value)
    return masked


@lru_cache(maxsize=1024)
def _key(name: str) -> tuple[str, bool]:
    return mask(name), bool(_SECRET_KEY.search(name))


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and -_WIDEST <= value < _WIDEST:
        return value
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(each) for each in value]
    return mask(str(value))


def mask(text: str) -> str:
    """Mask bearer tokens, JSON Web Tokens, ``secret=value`` pairs, passwords of URLs and e-mail addresses."""
    if text.isalnum():
        return text  # holds nothing to mask: no blank, dot, sign or @
    text = mask_email(mask_secrets(text))
    # A lone surrogate, as in a file name that is not UTF-8, is no JSON.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def mask_secrets(text: str) -> str:
    """Mask what `mask` does, but for e-mail addresses: for an operator who must know whom to call."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def mask_email(text: str) -> str:
    """Shorten every e-mail address in *text* to ``o***@example.org``, percent-encoded ones too."""
    return _EMAIL.sub(rf"\1{MASK}\2\3", text) if "@" in text or "%40" in text else text
