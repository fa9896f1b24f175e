"""The monitoring API: endpoint and parameters in, answer out. Knows who may see what, but no sockets."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from harvester.sandbox import logs, master_data
from harvester.sandbox.endpoints import PERIODS, Endpoint
from harvester.sandbox.exchange import Answer, Body, Call, json_answer, refusal
from harvester.sandbox.plants import Device, Plant, answers_set, sets_of
from harvester.sandbox.question import BadQuestionError, read_day, read_flag, read_question
from harvester.sandbox.readings import Source
from harvester.sandbox.sets import NAMES
from harvester.sandbox.settings import Settings
from harvester.sandbox.world import World

if TYPE_CHECKING:
    from harvester.sandbox.question import Question

Render = Callable[["Question"], Body]
Readable = Callable[[str], bool]
"""Whether the token may read the plants of that owner."""


class Monitoring:
    """Answers of all monitoring endpoints for a client that may ask."""

    def __init__(
        self,
        settings: Settings,
        world: World,
        *,
        vanished: Callable[[Plant], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._world = world
        self._vanished = vanished
        self._now = now

    def answer(self, call: Call, place: Endpoint, readable: Readable, render: Render) -> Answer:
        """Answer a request; `render` makes the body of a question for values."""
        query = call.query()
        try:
            if place.kind == "plants":
                return self._plants(query, readable)
            found = self._find(call, place, readable)
            if isinstance(found, Answer):
                return found
            plant, device = found
            if place.kind == "values":
                return self._values(plant, device, place, query, render)
            return self._master(plant, device, place, query)
        except BadQuestionError as error:
            return refusal(400, str(error))

    def _plants(self, query: dict[str, str], readable: Readable) -> Answer:
        """List what the accepted owners released; nobody accepted: an empty list (documented)."""
        flags = {name: read_flag(query, f"With{name.title()}") for name in ("status", "installation", "location")}
        wanted = query.get("filter", "").casefold()
        rows = [
            master_data.listed(plant, **flags)
            for plant in self._world.plants()
            if _visible(plant, readable) and wanted in plant.name.casefold()
        ]
        return json_answer({"plants": rows})

    def _find(self, call: Call, place: Endpoint, readable: Readable) -> tuple[Plant, Device | None] | Answer:
        """Return whom the address names: 308 when moved, 404 unknown, 403 without consent (assumption)."""
        if place.id in self._world.moved:
            return _moved(call, place.id, self._world.moved[place.id])
        found = self._world.device(place.id) if place.level == "device" else None
        plant = found[0] if found else self._world.plant(place.id) if place.level == "plant" else None
        if plant is None or self._vanished(plant):
            return refusal(404)
        if not _visible(plant, readable):
            return refusal(404 if self._settings.hide_unconsented else 403)
        return plant, found[1] if found else None

    def _values(
        self, plant: Plant, device: Device | None, place: Endpoint, query: dict[str, str], render: Render
    ) -> Answer:
        name = NAMES.get(place.set.casefold(), "")
        if not answers_set(device, name):
            return refusal(404)
        if place.period not in PERIODS:
            raise BadQuestionError(f"The value '{place.period}' is not valid for period.")
        return Answer(body=render(read_question(Source(plant, device, name), place.period, query)))

    def _master(self, plant: Plant, device: Device | None, place: Endpoint, query: dict[str, str]) -> Answer:
        lean = place.part == "lean"
        if place.kind == "sets":
            head = {"plant": master_data.plant_head(plant)}
            if device is not None:
                head["device"] = master_data.device_head(plant, device)
            return json_answer({**head, "sets": list(sets_of(device))})
        if place.kind == "logs":
            return self._logs(plant, device, query)
        if place.kind == "devices":
            return self._devices(plant, query, lean=lean)
        if device is not None:
            return json_answer(master_data.device_detail(plant, device, lean=lean))
        parts = {
            "location": master_data.location,
            "installation": master_data.installation,
            "status": master_data.status,
            "capabilities": master_data.capabilities,
        }
        return json_answer(parts.get(place.part, master_data.detail)(plant))

    def _devices(self, plant: Plant, query: dict[str, str], *, lean: bool) -> Answer:
        """List the devices; those deactivated by now only on demand."""
        every = read_flag(query, "WithDeactivatedDevices")
        rows = [
            master_data.device_row(plant, device, lean=lean)
            for device in plant.devices
            if every or device.deactivated is None
        ]
        return json_answer({"devices": rows} if lean else {"plant": master_data.plant_head(plant), "devices": rows})

    def _logs(self, plant: Plant, device: Device | None, query: dict[str, str]) -> Answer:
        span = logs.Span(
            first=read_day(query, "From"),
            last=read_day(query, "To"),
            level=query.get("level", "info").casefold(),
            until=self._now().timestamp(),
        )
        return json_answer({"logs": logs.entries(plant, device, span, self._settings.seed)})


def _visible(plant: Plant, readable: Readable) -> bool:
    return plant.released and readable(plant.owner)


def _moved(call: Call, old: str, new: str) -> Answer:
    """Send to the new id: empty body, absolute address, path and query kept (documented)."""
    parts = call.raw_path.split("/")
    path = "/".join(quote(new) if part in {old, quote(old)} else part for part in parts)
    query = f"?{call.raw_query}" if call.raw_query else ""
    return Answer(status=308, headers={"Location": f"{call.origin}{path}{query}"})
