"""Scenes of harvests that are killed: a first one, one that changes values, one with owners' tokens, and a daemon."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from archived import lone_bodies, wrong_quarantine
from connecting import KEY, code_configured, connected
from journeys import ANN, BOB, FIRST, LAST, SMALL, SPAN, TODAY, Place, Scene
from killing import End, World
from looked_at import true_sums, wrong_gaps, wrong_sums
from running import configured
from truth_frames import days, truth_tables

from harvester.sandbox import Faults, Running, Settings, serving
from harvester.state.database import connect
from harvester.state.vault import Keyring, Vault

RECENT = TODAY - timedelta(days=5)
"""Where a daemon begins: that day and the next one are settled, the others are open."""
SPIKED = Faults(spikes=1.0)
NOW = datetime.now(UTC)


def harvested_days(world: World, first: date, last: date) -> set[tuple[str, str, str]]:
    """Return the series, by plant, device and set, whose days from *first* to *last* are all settled."""
    wanted = set(days(first, last))
    return {name for name, known in world.kept().days.items() if wanted <= known}


class Backfill(Scene):
    """A first harvest, with channels that nobody knew and answers that nobody can read; `gaps` is asked each time.

    The time stands still in its cloud, so that there is one truth of the month and the year that run.
    """

    name = "backfill"
    command = ("backfill", *SPAN)
    settings = Settings(**SMALL, faults=Faults(surplus=0.5))
    spoiled = 1

    @classmethod
    def cloud(cls) -> AbstractAsyncContextManager[Running]:
        """Open a cloud in which it is always the same moment."""
        return serving(cls.settings, now=lambda: NOW)

    async def furnish(self, place: Place) -> None:
        """Find out what is true of months and years as well."""
        await super().furnish(place)
        self._sums = true_sums(self.running.cloud, days(FIRST, LAST), NOW)

    async def prepare(self, _world: World) -> None:
        """Begin with nothing."""
        self._lone: frozenset[str] = frozenset()

    async def killed(self, world: World) -> list[str]:
        """Look at the lake, its sums and what was put aside, and at what `gaps` says of it."""
        config = configured(self.running, world.folder, sma__owners=(ANN, BOB))
        gaps = wrong_gaps(config, self.truths[0], FIRST, LAST)
        sums = wrong_sums(world.lake, self._sums, whole=False)
        return [*await super().killed(world), *sums, *gaps, *self._quarantine_amiss(world, kills=1)]

    async def finished(self, world: World, end: End) -> list[str]:
        """Look at the whole lake; there are no gaps, as the command says."""
        asked = await world.question("gaps", *SPAN, "--json", "--check")
        gaps = [] if (asked.code, asked.out.strip()) == (0, "[]") else [f"gaps: {asked.code} {asked.out} {asked.err}"]
        sums = wrong_sums(world.lake, self._sums, whole=True)
        return [*await super().finished(world, end), *sums, *gaps, *self._quarantine_amiss(world, kills=0)]

    def _quarantine_amiss(self, world: World, *, kills: int) -> Iterator[str]:
        """Look for pairs of body and facts that are none; each of the *kills* since the last look may leave a body."""
        yield from wrong_quarantine(world.lake)
        before, self._lone = self._lone, lone_bodies(world.lake)
        if len(new := self._lone - before) > kills:
            yield f"{len(new)} quarantined bodies have no facts, such as {min(new)}"


class Repair(Scene):
    """A harvest that asks settled days again, and finds other values."""

    name = "repair"
    command = ("repair", *SPAN, "--force")
    settings = Settings(**SMALL)
    workers = 16
    forced = True

    async def furnish(self, place: Place) -> None:
        """Find out what is true now, and what the cloud said before."""
        await super().furnish(place)
        now, self.running.cloud.faults = self.running.cloud.faults, SPIKED
        self.truths += (truth_tables(self.running.cloud, self.wanted),)
        self.running.cloud.faults = now

    async def prepare(self, world: World) -> None:
        """Begin with a lake that holds what the cloud says later was wrong."""
        now, self.running.cloud.faults = self.running.cloud.faults, SPIKED
        end = await world.run("backfill", *SPAN)
        self.running.cloud.faults = now
        assert end.code == 0, end.err


class CodeGrant(Scene):
    """A first harvest with tokens of owners who have connected, each of which is good for one use."""

    name = "code grant"
    command = ("backfill", *SPAN)
    settings = Settings(**SMALL, grant="code", token_seconds=1)
    variables: ClassVar[dict[str, str]] = {"HARVESTER_SMA__GRANT": "code", "HARVESTER_VAULT__KEY": KEY}

    async def prepare(self, world: World) -> None:
        """Begin with two owners who have connected."""
        await connected(code_configured(self.running, world.folder), self.running, (ANN, BOB))

    async def killed(self, world: World) -> list[str]:
        """Look at the lake, and let owners connect again whose refresh token was lost on its way."""
        found = await super().killed(world)
        config = configured(self.running, world.folder, sma__grant="code", vault__key=KEY)
        engine = connect(config.ledger.path)
        try:
            vault = Vault(engine, Keyring.parse(KEY), lambda: datetime.now(UTC))
            kept = {owner: vault.get(owner, "refresh token") for owner in (ANN, BOB)}
        finally:
            engine.dispose()
        lost = [owner for owner, token in kept.items() if token not in self.running.cloud.tokens._refresh]
        self.tally.reconnected += len(lost)
        await connected(config, self.running, lost)
        return found


class Daemon(Scene):
    """A daemon by itself, which has done its part once the days are settled."""

    name = "daemon"
    command = ("daemon",)
    settings = Settings(**{**SMALL, "start": RECENT})
    variables: ClassVar[dict[str, str]] = {
        "HARVESTER_HARVEST__SINCE": RECENT.isoformat(),
    }
    first, last = RECENT, RECENT + timedelta(days=1)

    async def lived(self, world: World, **plan: Any) -> End:
        """Let it live until the days are settled."""
        child = await world.begun(*self.command, **plan)
        return await self.until(world, child, lambda: self.settled(world), **plan)

    def settled(self, world: World) -> bool:
        """Tell whether the days of every series are settled."""
        return len(harvested_days(world, self.first, self.last)) == len(self.running.cloud.truth.series())


HARVESTS: Sequence[type[Scene]] = (Backfill, Repair, CodeGrant, Daemon)
