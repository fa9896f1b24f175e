"""What a check says: a name, a state, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check ended, the mildest first."""

    OK = "ok"
    NOT_CHECKED = "not checked"
    WARNING = "warning"
    WRONG = "wrong"


_ORDER = list(State)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    state: State
    found: str
    remedy: str = ""
    """Empty where there is nothing to do."""

    def facts(self) -> dict[str, str]:
        """Return the finding for a program."""
        return {"name": self.name, "state": self.state.value, "found": self.found, "remedy": self.remedy}


def ok(name: str, found: str) -> Finding:
    """Say that all is well."""
    return Finding(name, State.OK, found)


def not_checked(name: str, why: str, remedy: str = "") -> Finding:
    """Say why nothing can be said."""
    return Finding(name, State.NOT_CHECKED, why, remedy)


def warning(name: str, found: str, remedy: str) -> Finding:
    """Say what works and will not for ever."""
    return Finding(name, State.WARNING, found, remedy)


def wrong(name: str, found: str, remedy: str) -> Finding:
    """Say what does not work."""
    return Finding(name, State.WRONG, found, remedy)


def together(name: str, findings: Iterable[Finding]) -> Finding:
    """Make one finding of several of the same *name*, at least one: the worst state, every remedy once."""
    each = list(findings)
    worst = max((finding.state for finding in each), key=_ORDER.index)
    remedies = dict.fromkeys(finding.remedy for finding in each if finding.remedy)
    return Finding(name, worst, "; ".join(finding.found for finding in each), " ".join(remedies))
