"""All that is known of a plant or device on one day, as sentences and as plain values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harvester.questions.explain import LocalDay, Story
from harvester.questions.survey import suspended
from harvester.state.inventory import KnownAlias, KnownDevice, KnownPlant

_MINUTE = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """A plant, or a device of it, on one plant-local day."""

    plant: KnownPlant
    device: KnownDevice | None
    where: LocalDay
    members: Sequence[KnownDevice]
    """The plant's devices; none where it is about one device."""
    aliases: Sequence[KnownAlias]
    stories: Sequence[Story]

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, as ``--json`` prints it."""
        change = self.where.change
        return {
            "level": "device" if self.device else "plant",
            "plant_id": self.plant.plant.plant_id,
            "device_id": self.device.device.device_id if self.device else None,
            "day": self.where.day.isoformat(),
            "zone": self.where.zone,
            "utc_from": self.where.start.isoformat(),
            "utc_to": self.where.end.isoformat(),
            "clock_change": f"{change.instant.isoformat()}+00:00" if change else None,
            "local_day": self.where.words,
            "master_data": list(self._master_data()),
            "aliases": [{"old_id": a.old_id, "new_id": a.new_id, "since": a.since.isoformat()} for a in self.aliases],
            "series": [story.facts() for story in self.stories],
        }

    def lines(self) -> Iterator[tuple[str, Sequence[str]]]:
        """Yield headings and the sentences below them."""
        whose = self.device.device if self.device else None
        heading = f"Device {whose.device_id}" if whose else f"Plant {self.plant.plant.plant_id}"
        yield heading, [*self._master_data(), *self._renamed(), self.where.words]
        for story in self.stories:
            owner = story.known.series.device_id
            name = story.known.series.set
            yield (name if owner is None or whose else f"{name} of device {owner}"), list(_sentences(story))

    def _master_data(self) -> Iterator[str]:
        plant = self.plant.plant
        if self.device is not None:
            yield from _device(self.device)
        yield f"Plant {plant.plant_id} ({plant.name}) in {plant.timezone}, part {self.plant.part}"
        if plant.peak_power is not None:
            yield f"Peak power {plant.peak_power:,.0f} W"
        yield f"Start-up {plant.start_up:{_MINUTE}}" if plant.start_up else "Start-up not known"
        if plant.latitude is not None and plant.longitude is not None:
            yield f"Latitude {plant.latitude:.3f}°, longitude {plant.longitude:.3f}°"
        yield f"Listed from {self.plant.first_seen:{_MINUTE}} to {self.plant.last_seen:{_MINUTE}}{_fate(self.plant)}"
        for each in self.members:
            yield f"Has device {each.device.device_id} ({each.device.name}){_off(each.device.deactivated_at)}"

    def _renamed(self) -> Iterator[str]:
        for alias in self.aliases:
            yield f"SMA redirects the id {alias.old_id} to {alias.new_id}, seen first at {alias.since:{_MINUTE}}"


def _fate(plant: KnownPlant) -> str:
    if plant.moved_to:
        return f"; goes by the id {plant.moved_to} now"
    if plant.withdrawn_at:
        return f"; withdrawn since {plant.withdrawn_at:{_MINUTE}}"
    return "; suspended: not listed at present" if suspended(plant) else ""


def _device(known: KnownDevice) -> Iterator[str]:
    device = known.device
    yield f"Device {device.device_id} ({device.name}){_off(device.deactivated_at)}"
    kind = (device.vendor, device.product, device.type, f"serial {device.serial}" if device.serial else None)
    if any(kind):
        yield ", ".join(text for text in kind if text)
    if device.generator_power is not None:
        yield f"Generator power {device.generator_power:,.0f} W"


def _off(deactivated_at: datetime | None) -> str:
    return f", deactivated at {deactivated_at} local time" if deactivated_at else ""


def _sentences(story: Story) -> Iterator[str]:
    yield f"{'Applicable' if story.applicable else 'Not applicable'}: {story.because}"
    if story.applicable:
        asked = f", asked last at {story.asked_at:{_MINUTE}}" if story.asked_at else ""
        yield f"Settlement: {story.settlement.value}{asked}"
    if story.failure:
        yield f"Failure: {story.failure} ({story.attempts} in a row)"
    if story.content is not None:
        yield f"{'A hole' if story.content.hole else 'Content'}: {story.content.why}"
    if story.repeated_hour:
        yield f"Clock: {story.repeated_hour}"
    at = f" at {story.next_at:{_MINUTE}}" if story.next_at else ""
    yield f"Next{at}: {story.next_because}"
