"""What the command `explain` does: find whom it is about, gather what is known, print it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from difflib import get_close_matches

from harvester import plan, show
from harvester.compose import Readable, readable, scope_of, utc_now
from harvester.config import Config
from harvester.errors import ConfigError
from harvester.lake.passes import passes
from harvester.questions.dossier import Dossier
from harvester.questions.explain import LocalDay, Rules, Story, repeated_hour, told
from harvester.questions.plausibility import Plausibility
from harvester.questions.survey import SeriesDays, Survey
from harvester.report import OK
from harvester.state.inventory import KnownDevice, KnownPlant

_FEWEST, _MOST = 2, 3
"""Words of a question."""
_NEAR = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks about."""

    name: str
    """Id of a plant, a device, or both."""
    set: str | None
    day: date

    @classmethod
    def read(cls, words: Sequence[str]) -> Asked:
        """Read ``PLANT|DEVICE [SET] DAY``; raises `ConfigError`."""
        if not _FEWEST <= len(words) <= _MOST:
            raise ConfigError("explain takes two or three words: PLANT|DEVICE [SET] DAY")
        try:
            day = date.fromisoformat(words[-1])
        except ValueError:
            raise ConfigError(f"{words[-1]!r} is not a day; write it as 2026-01-31") from None
        return cls(words[0], words[1] if len(words) == _MOST else None, day)


def explain(config: Config, words: Sequence[str], *, as_json: bool) -> int:
    """Print all that is known of a plant or device on one day, and return the exit code; raises `ConfigError`."""
    asked = Asked.read(words)
    with readable(config) as stores:
        found = _dossiers(config, stores, asked)
    if as_json:
        show.as_json([dossier.facts() for dossier in found])
        return OK
    for dossier in found:
        for heading, sentences in dossier.lines():
            show.title(heading)
            for sentence in sentences:
                show.tell(f"  {sentence}")
        show.tell()
    return OK


def _dossiers(config: Config, stores: Readable, asked: Asked) -> list[Dossier]:
    """Return what is known of the plant and of the device that go by the name *asked* for.

    A gateway may carry the id of its plant (seen in production): then a set that only one of the two offers is told of
    that one. Raises `ConfigError` where neither has it.
    """
    found: list[Dossier] = []
    refused: list[ConfigError] = []
    for plant, device in _found(stores, asked.name):
        try:
            found.append(_dossier(config, stores, asked, plant, device))
        except ConfigError as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return found


def _found(stores: Readable, name: str) -> list[tuple[KnownPlant, KnownDevice | None]]:
    """Return the plant and the device that go by *name*, today or once; raises `ConfigError` with near misses."""
    plants = {known.plant.plant_id: known for known in stores.inventory.plants()}
    devices = {known.device.device_id: known for known in stores.inventory.devices()}
    if name not in plants and name not in devices:
        name = next((alias.new_id for alias in stores.inventory.aliases() if alias.old_id == name), name)
    found: list[tuple[KnownPlant, KnownDevice | None]] = [(plants[name], None)] if name in plants else []
    if name in devices:
        found.append((plants[devices[name].device.plant_id], devices[name]))
    if not found:
        alike = [k for k, p in plants.items() if name.casefold() in p.plant.name.casefold()]
        raise ConfigError(f"no plant or device {name!r} is known.{_near(name, [*plants, *devices], alike)}")
    return found


def _near(name: str, names: Iterable[str], alike: Sequence[str] = ()) -> str:
    close = list(dict.fromkeys([*alike, *get_close_matches(name, list(names), n=_NEAR, cutoff=0.5)]))[:_NEAR]
    return f" Near misses: {', '.join(close)}." if close else " `harvester discover` lists what there is."


def _dossier(config: Config, stores: Readable, asked: Asked, plant: KnownPlant, device: KnownDevice | None) -> Dossier:
    plant_id = plant.plant.plant_id
    members = [] if device else [d for d in stores.inventory.devices(plant.part) if d.device.plant_id == plant_id]
    ids = {plant_id} if device is None else {device.device.device_id}
    ids |= {each.device.device_id for each in members}
    where = LocalDay.of(asked.day, plant)
    return Dossier(
        plant=plant,
        device=device,
        where=where,
        members=members,
        aliases=[alias for alias in stores.inventory.aliases() if ids & {alias.old_id, alias.new_id}],
        stories=list(_stories(config, stores, asked, plant, device, where)),
    )


def _stories(
    config: Config, stores: Readable, asked: Asked, plant: KnownPlant, device: KnownDevice | None, where: LocalDay
) -> Iterator[Story]:
    now, harvest = utc_now(), config.harvest
    rules = Rules(
        span_of=plan.recent(harvest.since.first_day, harvest.live_sets, now),
        since=str(harvest.since),
        settle_after=timedelta(days=harvest.settle_days),
    )
    piece = _piece(config, stores, plant.part, asked.day, now)
    plausibility = Plausibility(piece)
    for each in _about(piece, asked, plant, device):
        story = told(each, where, plausibility.content(each, asked.day), rules, now)
        if where.change is not None and where.change.repeats and story.content is not None:
            found = passes(stores.places, story.known.series, plant.part, asked.day, where.change)
            story = replace(story, repeated_hour=repeated_hour(found))
        yield story


def _piece(config: Config, stores: Readable, part: int, day: date, now: datetime) -> list[SeriesDays]:
    """Return the series of all plants of *part*, those included that are not asked any more, around *day*."""
    survey = Survey(
        stores.inventory,
        stores.ledger,
        stores.history,
        scope=scope_of(config),
        span_of=plan.between(day, day),
        now=now,
    )
    plants = {known.plant.plant_id: known for known in stores.inventory.plants() if known.part == part}
    return survey.piece(survey.part(part, plants, gone=True), day, day)


def _about(
    piece: Iterable[SeriesDays], asked: Asked, plant: KnownPlant, device: KnownDevice | None
) -> list[SeriesDays]:
    """Return the series of the device, or those of the plant as a whole; of a plant with a set named, all of that set.

    Raises `ConfigError` with near misses for a set that there is not.
    """
    own = [each for each in piece if each.subject.known.series.plant_id == plant.plant.plant_id]
    if device is not None:
        own = [each for each in own if each.subject.known.series.device_id == device.device.device_id]
    if asked.set is None:
        return [e for e in own if device is not None or e.subject.known.series.device_id is None]
    names = {each.subject.known.series.set for each in own}
    found = [each for each in own if each.subject.known.series.set.casefold() == asked.set.casefold()]
    if not found and (device is not None or names):
        raise ConfigError(f"{asked.name} has no set {asked.set!r}.{_near(asked.set, sorted(names), sorted(names))}")
    return found
