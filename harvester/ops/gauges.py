"""Numbers that are as they are now, told as a whole and read as a whole; what is not known is absent and not 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from harvester.log import spelt
from harvester.questions.ages import PlantAge
from harvester.questions.standing import Share

MOST_PLANTS = 2_000
"""A fleet of so many plants is told in quantiles only: a label for each would be a burden to Prometheus."""
LONGEST_LABEL = 200
"""Characters of a plant's id or name that are told: nobody else bounds what the API calls a plant."""
AGE_QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)
SHARE_QUANTILES = (0.0, 0.01, 0.1, 0.5, 1.0)

_PLAIN = {
    "budget_limit_requests": "Requests that one window allows",
    "budget_spent_requests": "Requests spent of the present window",
    "budget_left_requests": "Requests left of the present window",
    "pause_seconds": "Seconds that SMA still wants to be left alone",
    "plants": "Plants that are visible",
    "plants_stale": "Visible plants whose newest row is older than alerts.stale_hours",
    "plants_without_rows": "Visible plants of which no row of a live set has come yet",
    "disk_free_bytes": "Bytes free on the disk of the lake",
    "disk_total_bytes": "Bytes of the disk of the lake",
}
_LABELLED = {
    "consents": ("state", "Plant owners by the state of their consent"),
    "alerts_firing": ("kind", "What needs a person now, by kind"),
    "last_exit_code": ("work", "Exit code of the last piece of work that ended; 1 where an error ended it"),
    "last_run_timestamp_seconds": ("work", "Unix time when the last piece of work that gave a report ended"),
    "last_success_timestamp_seconds": ("work", "Unix time when the last piece of work with exit code 0 ended"),
    "age_seconds": ("quantile", "Seconds since the end of the newest row's interval, over the plants with rows"),
    "coverage_ratio": ("quantile", "Share of the last 7 days due that is settled, over the plants; the worst are low"),
    "coverage_series_days": ("settlement", "Series-days of the last 7 days due, and those of them that are settled"),
    "plant_newest_timestamp_seconds": ("plant_id", "Unix time of the end of the plant's newest row's interval"),
    "plant_coverage_ratio": ("plant_id", "Share of the plant's last 7 days due that is settled"),
}


@dataclass(frozen=True, slots=True)
class Family:
    """One gauge with its samples: the values of its labels, and a number."""

    name: str
    documentation: str
    labels: Sequence[str]
    samples: Sequence[tuple[Sequence[str], float]]


class Gauges:
    """The latest of what was told; each telling replaces the one before, also while a thread reads."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._plain: dict[str, float | None] = {}
        self._labelled: dict[str, Mapping[str, float]] = {}
        self._names: Mapping[str, str] = {}

    def tell(self, **values: float | None) -> None:
        """Replace plain numbers; None makes one absent."""
        self._plain = {**self._plain, **values}

    def tell_by(self, name: str, values: Mapping[str, float]) -> None:
        """Replace the numbers of one labelled gauge."""
        self._labelled = {**self._labelled, name: dict(values)}

    def ended(self, work: str, code: int, at: datetime | None, *, complete: bool) -> None:
        """Tell the exit *code* of a piece of *work* that ended *at* (aware UTC)."""
        values = {"last_exit_code": float(code)}
        if at is not None:
            values["last_run_timestamp_seconds"] = at.timestamp()
            if complete:
                values["last_success_timestamp_seconds"] = at.timestamp()
        for name, value in values.items():
            self.tell_by(name, {**self._labelled.get(name, {}), work: value})

    def broke(self, work: str) -> None:
        """Tell that an error ended a piece of *work*."""
        self.tell_by("last_exit_code", {**self._labelled.get("last_exit_code", {}), work: 1.0})

    def fresh(self, ages: Sequence[PlantAge], stale_seconds: float) -> None:
        """Tell the ages of all visible plants; those older than *stale_seconds* are stale."""
        known = sorted(float(age.age_seconds) for age in ages if age.age_seconds is not None)
        self.tell(
            plants=len(ages),
            plants_stale=sum(1 for age in known if age > stale_seconds),
            plants_without_rows=len(ages) - len(known),
        )
        self.tell_by("age_seconds", _quantiles(known, AGE_QUANTILES))
        few = ages if len(ages) < MOST_PLANTS else ()
        newest = {_label(age.plant_id): age.newest.timestamp() for age in few if age.newest is not None}
        self.tell_by("plant_newest_timestamp_seconds", newest)
        self._names = {_label(age.plant_id): _label(age.name) for age in few}

    def covered(self, shares: Sequence[Share]) -> None:
        """Tell the coverage of all visible plants."""
        known = {each.plant_id: share for each in shares if (share := each.share) is not None}
        self.tell_by("coverage_ratio", _quantiles(sorted(known.values()), SHARE_QUANTILES))
        total = {"due": sum(each.due for each in shares), "settled": sum(each.settled for each in shares)}
        self.tell_by("coverage_series_days", total)
        few = known if len(shares) < MOST_PLANTS else {}
        self.tell_by("plant_coverage_ratio", {_label(plant_id): share for plant_id, share in few.items()})

    def families(self) -> Iterator[Family]:
        """Yield every gauge; one of which nothing is known has no sample."""
        plain, labelled, names = self._plain, self._labelled, self._names
        yield Family("build_info", "Version of the harvester; always 1", ["version"], [([self._version], 1.0)])
        for name, documentation in _PLAIN.items():
            value = plain.get(name)
            yield Family(name, documentation, (), [] if value is None else [((), float(value))])
        for name, (label, documentation) in _LABELLED.items():
            samples = [((key,), value) for key, value in labelled.get(name, {}).items()]
            yield Family(name, documentation, [label], samples)
        named = [((plant_id, name), 1.0) for plant_id, name in names.items()]
        yield Family("plant_info", "Name of the plant; always 1", ["plant_id", "name"], named)


def _label(name: str) -> str:
    """Return a name of the API as a label: spelt where it would steer the terminal of who reads it, and cut."""
    return spelt(name)[:LONGEST_LABEL]


def _quantiles(values: Sequence[float], wanted: Sequence[float]) -> dict[str, float]:
    """Return the *wanted* quantiles of ascending *values*, each one of the values; none where there is no value."""
    return {f"{q:g}": values[round(q * (len(values) - 1))] for q in wanted} if values else {}
