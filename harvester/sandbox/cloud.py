"""The whole cloud without its socket: state, world, truth, and one function from request to answer."""

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from email.utils import formatdate
from math import ceil

from harvester.sandbox.aggregates import Aggregates
from harvester.sandbox.bucket import Bucket, Elapsed
from harvester.sandbox.consent import Consents
from harvester.sandbox.counts import Counts
from harvester.sandbox.endpoints import Endpoint, base_length, endpoint
from harvester.sandbox.exchange import Answer, Body, Call, json_answer, refusal
from harvester.sandbox.faults import Faults
from harvester.sandbox.identity import Identity
from harvester.sandbox.landing import NOTHING, Standing, landing_page
from harvester.sandbox.lru import Recent
from harvester.sandbox.misbehaviour import TOO_MANY, Misbehaviour, unauthorized
from harvester.sandbox.monitoring import Monitoring
from harvester.sandbox.plant_day import Simulation
from harvester.sandbox.plants import Device, Plant
from harvester.sandbox.products import Kind
from harvester.sandbox.question import Question, read_question
from harvester.sandbox.readings import Readings
from harvester.sandbox.settings import Settings
from harvester.sandbox.tokens import Grant
from harvester.sandbox.truth import Truth
from harvester.sandbox.values import Values
from harvester.sandbox.world import World
from harvester.sandbox.zones import utc_now


class Cloud:
    """A local SMA cloud: its plants, its owners, its clients, and the truth about them."""

    def __init__(self, settings: Settings, *, now: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.counts = Counts()
        """Live counters of requests and answers."""
        self._now = now
        self._elapsed = Elapsed(now)
        self._bucket = Bucket(settings.requests, settings.window_seconds, settings.window_mode)
        self._simulation = Simulation(settings.seed, settings.cached_days)
        self._bodies: Recent[Hashable, Body] = Recent(settings.cached_bytes, lambda body: len(body.plain) + 1000)
        self.world = World(settings)
        self._identity = Identity(settings, self.world, self.counts, self._elapsed)
        self.tokens = self._identity.tokens
        self.consents = Consents(
            now,
            days=settings.consent_days,
            accept=settings.accept,
            lenient=settings.lenient_status,
            released=self.world.release,
        )
        self._faults = settings.faults
        self._misbehaviour = Misbehaviour(settings.faults, settings.seed, self.counts.struck)
        self._monitoring = Monitoring(
            settings,
            self.world,
            vanished=self._vanished,
            now=now,
        )
        self._rewrite()

    @property
    def faults(self) -> Faults:
        """Return what goes wrong now; may be set at any time."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        reshaped = faults.shapes() != self._faults.shapes()
        self._faults = faults
        self._misbehaviour = Misbehaviour(faults, self.settings.seed, self.counts.struck)
        if reshaped:
            self._rewrite()

    def answer(self, call: Call) -> Answer:
        """Answer one request and count it."""
        segments = call.segments
        words = [segment.casefold() for segment in segments]
        base = base_length(words)
        if base:
            place = endpoint(segments[base:])
            answer = self._monitor(call, place)
            self.counts.note(place.kind if place else "other", answer.status)
            return answer
        spoil = self._spoiled_beside if self._misbehaviour.reaches(words) else self._beside
        kind, answer = spoil(call, segments, words)
        self.counts.note(kind, answer.status)
        return answer

    def _spoiled_beside(self, call: Call, segments: list[str], words: list[str]) -> tuple[str, Answer]:
        """Answer what is about tokens and consents, with its faults."""
        wrong = self._misbehaviour
        attempt = wrong.attempt(call)
        instead = wrong.instead(call, None, attempt)
        if instead is not None:
            return "token" if words[1] == "token" else "consent", instead
        kind, answer = self._beside(call, segments, words)
        return kind, wrong.spoiled(call, answer, attempt)

    def _beside(self, call: Call, segments: list[str], words: list[str]) -> tuple[str, Answer]:
        """Answer what is not monitoring; none of it takes from the bucket (assumption)."""
        found = self._identity.answer(call, words)
        if found is not None:
            return found
        match (call.method, *words):
            case ("GET",):
                return "sandbox", landing_page(call.origin, self.settings, self.world.plants(), self._standing)
            case ("POST", "_sandbox", "revoke"):
                return "sandbox", self._revoked(call.form().get("owner", ""))
            case ("GET", "_sandbox", "counts"):
                return "sandbox", json_answer(self.counts.as_dict())
            case (_, "oauth2", "v2", "bc-authorize", *rest):
                return "consent", self._consent(call, segments[3:], rest)
        return "other", refusal(404)

    def _consent(self, call: Call, segments: list[str], words: list[str]) -> Answer:
        grant = self.tokens.bearer(call.headers.get("Authorization"))
        if grant is None or grant.owner is not None:
            # assumption: an owner's token asks nobody else for consent
            return refusal(403) if grant else unauthorized(empty=self.settings.empty_401)
        match (call.method, *words):
            case ("POST",):
                return self.consents.request(call)
            case ("GET", _):
                return self.consents.read(segments[0])
            case ("PUT", _, "status"):
                return self.consents.play(segments[0], call)
            case (_,) | (_, _) | (_, _, "status"):
                return refusal(405)
        return refusal(404)

    def _monitor(self, call: Call, place: Endpoint | None) -> Answer:
        grant = self.tokens.bearer(call.headers.get("Authorization"))
        if grant is None:
            return unauthorized(empty=self.settings.empty_401)
        wait = self._bucket.take(grant.client, self._elapsed())
        if wait is not None:
            return self._too_many(wait)
        self.counts.spent += 1
        if place is None:
            return refusal(404)
        if call.method != "GET":
            return refusal(405)
        wrong = self._misbehaviour
        attempt = wrong.attempt(call)
        answer = wrong.instead(call, place, attempt)
        if answer is None:
            drop = wrong.dropped(call, place, attempt)
            readable = self._readable(grant)
            answer = self._monitoring.answer(call, place, readable, lambda question: self._render(question, drop))
        return wrong.spoiled(call, answer, attempt)

    def _revoked(self, owner: str) -> Answer:
        """Revoke for a person at the front page, who is led back there."""
        if self._standing(owner) == NOTHING:
            return refusal(404)
        self.revoke(owner)
        return Answer(status=303, headers={"Location": "/"})

    def _standing(self, owner: str) -> Standing:
        return Standing(consent=self.consents.state(owner), granted=self.tokens.granted(owner.casefold()))

    def _readable(self, grant: Grant) -> Callable[[str], bool]:
        """Return whose plants a token opens: its owner's alone, or everybody's who accepted the client."""
        return self.consents.accepted if grant.owner is None else grant.owner.__eq__

    def _vanished(self, plant: Plant) -> bool:
        return self._misbehaviour.vanished(plant)

    def _render(self, question: Question, drop: tuple[str, ...] = ()) -> Body:
        return self._values.body(question, drop=drop, digits=self._faults.fraction_digits)

    def _too_many(self, wait: float) -> Answer:
        """Refuse until the window lets the next one in, in the header's chosen form."""
        seconds = max(1, ceil(wait))
        headers = {
            "seconds": {"Retry-After": str(seconds)},
            "date": {"Retry-After": formatdate(time.time() + seconds, usegmt=True)},
            "absent": {},
        }
        return replace(json_answer(TOO_MANY, 429), headers=headers[self.settings.retry_after])

    def warm(
        self, first: date, last: date, *, sets: Iterable[str] = (), period: str = "Day", energy: bool = False
    ) -> int:
        """Render the answers of those plant-local days (a Week: every seventh) and return how many."""
        wanted, rendered = set(sets), 0
        step = timedelta(days=7 if period.casefold() == "week" else 1)
        sources = [source for source in self.world.sources() if not wanted or source.set in wanted]
        day = first
        while day <= last:
            query = {"date": day.isoformat(), "returnenergyvalues": str(energy)}
            for source in sources:
                # touches the compressed form too: what is served is what is warm
                _ = self._render(read_question(source, period.casefold(), query)).packed
                rendered += 1
            day += step
        return rendered

    def accept(self, owner: str) -> None:
        """Let an owner accept at once, asked or not; what was built meanwhile is released too."""
        self.consents.decide(owner, "Accepted")
        self.world.release(owner)

    def revoke(self, owner: str) -> None:
        """Let an owner revoke, both grants; the next request sees it, and the owner's tokens are dead."""
        self.consents.decide(owner, "Revoked")
        self._identity.revoke(owner)

    def deactivate(self, device_id: str, day: date) -> Device:
        """Take a device out of service from a plant-local day on."""
        device = self.world.deactivate(device_id, day)
        self._rewrite()
        return device

    def add_device(self, plant_id: str, kind: Kind, *, since: date | None = None) -> Device:
        """Build one more device into a plant, with rows from that plant-local day on."""
        device = self.world.add_device(plant_id, kind, since=since)
        self._rewrite()
        return device

    def add_plant(self, owner: str, *, start: date | None = None, released: bool = True) -> Plant:
        """Build one more plant; unreleased it appears once its owner is asked again."""
        return self.world.add_plant(owner, start=start, released=released)

    def migrate(self, plant_id: str) -> dict[str, str]:
        """Move a plant to new ids, the old ones answer 308 from now on; return old ids to new."""
        return self.world.migrate(plant_id)

    def reset_counts(self) -> None:
        """Set all counters to zero."""
        self.counts.reset()

    def _rewrite(self) -> None:
        """Begin anew with what rows are written from: plants or their faults have changed."""
        self._simulation.clear()
        self._bodies.clear()
        readings = Readings(self.settings, self._faults, self._simulation)
        aggregates = Aggregates(readings, self.settings.seed)
        self._values = Values(self.settings, readings, aggregates, self._now, self._bodies)
        self.truth = Truth(self.world, readings, aggregates)
