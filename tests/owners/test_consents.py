"""Consents over time against the sandbox: read when due, remembered, and held against the plant lists."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import pytest
from present import Present
from running import configured

from harvester.compose import Stores, client_of, writable
from harvester.config import Config
from harvester.departures import Departure, departures
from harvester.errors import NothingToAsk, Unreachable
from harvester.owners import consents, listing
from harvester.owners.consents import Change
from harvester.sandbox import Faults, Running, Settings, serving
from harvester.sma.client import Client
from harvester.sma.consent import Consent, ConsentState

ANN, BOB, CAT = "ann@example.org", "bob@example.org", "cat@example.org"
OWNERS = (ANN, BOB, CAT)


class Scene:
    """A cloud, a clock, and a harvester's client and stores."""

    def __init__(self, running: Running, clock: Present, client: Client, stores: Stores) -> None:
        self.running, self.clock, self.client, self.stores = running, clock, client, stores
        self.owners = stores.owners

    async def request(self, *owners: str) -> None:
        """Ask for consent."""
        await consents.ask_each(self.client.consent_request, self.owners, owners, self.clock(), requested=True)

    async def look(self) -> list[Change]:
        """Read what is due."""
        return await consents.look(self.client, self.owners, OWNERS, self.clock())

    async def listed(self) -> set[str]:
        """Ask for the plant list and return its ids."""
        found = await listing.list_plants_of(self.client, self.stores.inventory, self.owners, OWNERS, self.clock())
        return {known.plant.plant_id for known in found}

    def state(self, owner: str) -> str | None:
        """Return the state that the book has."""
        known = self.owners.find(owner)
        return known.state if known else None

    def truth(self) -> dict[str, str]:
        """Return whose each plant is."""
        return {plant.plant_id: plant.owner for plant in self.running.cloud.world.plants()}

    def wrong(self) -> list[str]:
        """Return the plants that are not certainly their owner's."""
        return [plant for plant, owners in self.owners.came_with().items() if owners != {self.truth()[plant]}]


@asynccontextmanager
async def scene(folder: Path, *, plants: int = 6) -> AsyncIterator[Scene]:
    """Set one up."""
    clock = Present(2026, 5, 10, 12)
    settings = Settings(start=date(2026, 5, 1), plants=plants, devices=1, owners=OWNERS, classic_every=0)
    async with serving(settings, now=clock) as running:
        config: Config = configured(running, folder, sma__owners=list(OWNERS))
        with writable(config, "look") as stores:
            async with client_of(config, wall=clock) as client:
                yield Scene(running, clock, client, stores)


class TestLooking:
    """When a state is read."""

    async def test_the_interval_that_the_service_names_is_kept(self, tmp_path: Path) -> None:
        """A pending consent is read after half an hour and not before, one that holds once a day."""
        async with scene(tmp_path) as at:
            await at.request(ANN, BOB)
            at.running.cloud.accept(ANN)
            changes, read = [], []
            for minutes in (29, 1, 29, 1, 24 * 60):
                at.clock.advance(minutes=minutes)
                changes.append([(c.owner, c.before, c.after) for c in await at.look()])
                read.append([each.owner for each in at.owners.known() if each.seen_at == at.clock()])

        assert read == [[CAT], [ANN, BOB], [], [BOB], [ANN, BOB, CAT]]
        assert changes[0] == [(CAT, None, "NotAsked")]
        assert changes[1] == [(ANN, "Pending", "Accepted")]
        assert changes[2:] == [[], [], []]

    async def test_rejected_expired_revoked_and_asked_again(self, tmp_path: Path) -> None:
        """Each is a change; who stays Pending for long, or whose request ran out, is named."""
        async with scene(tmp_path) as at:
            await at.request(*OWNERS)
            at.running.cloud.consents.decide(ANN, "Rejected")
            at.running.cloud.accept(BOB)
            at.clock.advance(days=4)
            await at.look()
            first = {owner: at.state(owner) for owner in OWNERS}
            late = [each.owner for each in consents.overdue(at.owners.known(), at.clock(), 3.0)]
            at.running.cloud.revoke(BOB)
            at.clock.advance(days=4)
            await at.look()
            second = {owner: at.state(owner) for owner in OWNERS}
            run_out = [each.owner for each in consents.overdue(at.owners.known(), at.clock(), 3.0)]
            counted = consents.counts(at.owners.known())
            await at.request(CAT)

        assert first == {ANN: "Rejected", BOB: "Accepted", CAT: "Pending"}
        assert late == run_out == [CAT]
        assert second == {ANN: "Rejected", BOB: "Revoked", CAT: "Expired"}
        assert counted == {"Expired": 1, "Rejected": 1, "Revoked": 1}
        assert consents.overdue(at.owners.known(), at.clock(), 3.0) == []
        assert at.state(CAT) == "Pending"

    async def test_trouble_with_one_owner_costs_the_others_nothing(self, tmp_path: Path) -> None:
        """One whom the service refuses stays as known."""
        async with scene(tmp_path) as at:

            async def pull(owner: str) -> Consent:
                return await at.client.consent_simulate(owner, ConsentState.ACCEPTED)

            await at.request(ANN, CAT)
            looked = await consents.ask_each(pull, at.owners, OWNERS, at.clock())

        assert list(looked.failed) == [BOB]
        assert looked.silence is None
        assert (at.state(ANN), at.state(BOB), at.state(CAT)) == ("Accepted", None, "Accepted")

    async def test_a_service_that_falls_silent_is_left_alone(self, tmp_path: Path) -> None:
        """Of three hundred owners a few are tried; everybody without an answer counts as failed, nobody twice."""
        names = [f"owner{number}@example.org" for number in range(300)]
        tried: list[str] = []
        async with scene(tmp_path) as at:

            async def pull(owner: str) -> Consent:
                tried.append(owner)
                if len(tried) > 40:
                    raise Unreachable("no answer")
                return await at.client.consent_request(owner)

            looked = await consents.ask_each(pull, at.owners, names, at.clock(), requested=True)

        assert len(tried) < 100
        assert len(looked.read) == 40
        assert sorted([*looked.failed, *(consent.owner for consent in looked.read)]) == sorted(names)
        assert looked.silence is None


class TestAttribution:
    """Which owner a plant came with."""

    async def test_one_acceptance_between_two_lists_is_certain(self, tmp_path: Path) -> None:
        """Read before the list or because of it; and asking again for an added system is an occasion too."""
        async with scene(tmp_path) as at:
            await at.request(*OWNERS)
            for owner in OWNERS:
                at.running.cloud.accept(owner)
                if owner != BOB:
                    at.clock.advance(minutes=31)
                    await at.look()
                await at.listed()
            wrong = at.wrong()
            new = at.running.cloud.world.add_plant(BOB, released=False)
            before = await at.listed()
            await at.request(BOB)
            after = await at.listed()

        assert wrong == at.wrong() == []
        assert len(before) == 6
        assert after - before == {new.plant_id}
        assert at.owners.came_with()[new.plant_id] == {BOB}

    async def test_two_acceptances_leave_candidates_that_a_departure_narrows(self, tmp_path: Path) -> None:
        """Once one of the two revokes, those of both are certain, an hour later."""
        async with scene(tmp_path) as at:
            await at.request(*OWNERS)
            at.running.cloud.accept(CAT)
            await at.listed()
            at.running.cloud.accept(ANN)
            at.running.cloud.accept(BOB)
            await at.listed()
            unsure = {plant: owners for plant, owners in at.owners.came_with().items() if len(owners) > 1}
            at.clock.advance(minutes=5)
            at.running.cloud.revoke(BOB)
            left = await at.listed()
            narrowed = at.owners.came_with()
            at.clock.advance(hours=2)
            await at.listed()

        assert len(unsure) == 4
        assert set(unsure.values()) == {frozenset({ANN, BOB})}
        gone = set(at.truth()) - left
        assert {narrowed[plant] for plant in gone} == {frozenset({BOB})}
        assert at.wrong() == []

    async def test_a_faulty_list_beside_a_revocation_decides_nothing(self, tmp_path: Path) -> None:
        """Everything is gone though one consent of two ended; what comes back is whose it was."""
        async with scene(tmp_path) as at:
            await at.request(ANN, BOB)
            at.running.cloud.accept(ANN)
            at.running.cloud.accept(BOB)
            await at.listed()
            unsure = at.owners.came_with()
            at.running.cloud.revoke(BOB)
            at.running.cloud.faults = Faults(empty_plants=1.0)
            with pytest.raises(NothingToAsk):
                await at.listed()
            meanwhile = at.owners.came_with()
            at.running.cloud.faults = Faults()
            at.clock.advance(hours=2)
            await at.listed()

        assert meanwhile == unsure
        assert at.wrong() == []

    async def test_plants_that_a_revocation_explains_are_withdrawn(self, tmp_path: Path) -> None:
        """Three accepted between two lists: who revoked first took the plants that vanished."""
        async with scene(tmp_path) as at:
            await at.request(*OWNERS)
            for owner in OWNERS:
                at.running.cloud.accept(owner)
            await at.listed()
            at.running.cloud.revoke(BOB)
            at.clock.advance(minutes=1)
            left = await at.listed()
            fates = {each.known.plant.plant_id: each.fate for each in await self.departed(at)}

        assert fates == dict.fromkeys(set(at.truth()) - left, "withdrawn")
        assert len(fates) == 2

    async def test_a_faulty_list_withdraws_only_the_plants_of_who_left(self, tmp_path: Path) -> None:
        """Nothing is listed though one consent holds: its plants are suspended, the other owner's are withdrawn."""
        async with scene(tmp_path) as at:
            await at.request(ANN, BOB)
            for owner in (ANN, BOB):
                at.running.cloud.accept(owner)
                await at.listed()
            at.running.cloud.revoke(BOB)
            at.running.cloud.faults = Faults(empty_plants=1.0)
            with pytest.raises(NothingToAsk):
                await at.listed()
            at.running.cloud.faults = Faults()
            fates = {at.truth()[each.known.plant.plant_id]: each.fate for each in await self.departed(at)}

        assert fates == {ANN: "suspended", BOB: "withdrawn"}

    async def departed(self, at: Scene) -> list[Departure]:
        """Judge what left the list."""
        stores = at.stores
        return await departures(at.client, stores.inventory, stores.succession, at.owners, OWNERS, now=at.clock())


class TestNothing:
    """What a person is told where nothing may be asked."""

    async def test_of_many_owners_the_numbers_by_state_are_told(self, tmp_path: Path) -> None:
        """And the first few by name."""
        names = [f"owner{number}@example.org" for number in range(12)]
        async with scene(tmp_path) as at:
            await at.request(*names[:9])
            work = lambda: listing.list_plants_of(  # noqa: E731
                at.client, at.stores.inventory, at.owners, names, at.clock()
            )
            with pytest.raises(NothingToAsk) as told:
                await consents.explained(work, at.client, at.owners, names, at.clock())

        assert "of 12 owners 3 NotAsked, 9 Pending" in str(told.value)
        assert f"{names[0]}: Pending" in str(told.value)
        assert names[8] not in str(told.value)
