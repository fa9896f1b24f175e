"""Enumerating plants, devices and measurement sets, and how `harvester discover` tells of them."""

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from running import Command, accept_all, backfilled, command, configured, environment

from harvester.catalog import ENERGY_BALANCE
from harvester.compose import client_of, writable
from harvester.discover import EXPLORE_AGAIN, Unexplored, due_for_exploration, explore, list_plants
from harvester.sandbox import Running, Settings, serving
from harvester.sandbox.exchange import Answer, Call, refusal
from harvester.sma.client import Client
from harvester.state.inventory import Inventory

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class Looking:
    """A cloud, a client of it, and what is known of it so far."""

    running: Running
    client: Client
    inventory: Inventory

    async def look(self, now: datetime = NOW) -> list[Unexplored]:
        """List the plants and enumerate all of them."""
        plants = await list_plants(self.client, self.inventory, now)
        return await explore(self.client, self.inventory, plants, now=now, workers=4, stop=asyncio.Event())

    def sets(self) -> set[tuple[str, str | None, str]]:
        """Return the series that are known and not gone."""
        parts = {known.part for known in self.inventory.plants()}
        series = [known.series for part in parts for known in self.inventory.offered_series(part)]
        return {(s.plant_id, s.device_id, s.set) for s in series}


def refuse(running: Running, address: str, status: int) -> None:
    """Let the cloud answer everything below *address* with *status* from now on."""
    answered = running.cloud.answer

    def answer(call: Call) -> Answer:
        return refusal(status) if address in call.raw_path else answered(call)

    running.cloud.answer = answer  # type: ignore[method-assign]


@asynccontextmanager
async def looking(folder: Path, settings: Settings) -> AsyncIterator[Looking]:
    """Serve a cloud whose owners have accepted, with an empty inventory beside it."""
    async with serving(settings) as running:
        accept_all(running)
        config = configured(running, folder)
        with writable(config, "discover") as stores:
            async with client_of(config) as client:
                yield Looking(running, client, stores.inventory)


class TestPlants:
    """The plant list."""

    async def test_nothing_is_visible_without_consent_and_that_is_no_error(self, tmp_path: Path) -> None:
        """An empty list is a success."""
        async with serving(Settings(plants=2)) as running:
            config = configured(running, tmp_path)
            with writable(config, "discover") as stores:
                async with client_of(config) as client:
                    assert await list_plants(client, stores.inventory, NOW) == []

    async def test_the_list_decides_not_what_is_remembered(self, tmp_path: Path) -> None:
        """A withdrawn owner's plants are not returned any more, and stay known."""
        async with looking(tmp_path, Settings(plants=4, owners=("one@example.org", "two@example.org"))) as seen:
            before = await list_plants(seen.client, seen.inventory, NOW)
            seen.running.cloud.revoke("two@example.org")
            after = await list_plants(seen.client, seen.inventory, NOW + timedelta(hours=1))
            assert (len(before), len(after)) == (4, 2)
            assert {known.plant.plant_id for known in after} < {known.plant.plant_id for known in before}
            assert len(seen.inventory.plants()) == 4

    async def test_a_plant_is_enumerated_when_new_and_then_once_a_day(self, tmp_path: Path) -> None:
        """Due at once, not due just after, due again after `EXPLORE_AGAIN`."""
        async with looking(tmp_path, Settings(plants=2, devices=2)) as seen:
            new = await list_plants(seen.client, seen.inventory, NOW)
            assert due_for_exploration(new, NOW) == new
            await seen.look()
            known = await list_plants(seen.client, seen.inventory, NOW)
            assert due_for_exploration(known, NOW) == []
            assert due_for_exploration(known, NOW + EXPLORE_AGAIN) == known


class TestDevicesAndSets:
    """What each plant has and offers."""

    async def test_everything_that_the_cloud_offers_is_found(self, tmp_path: Path) -> None:
        """Every device and every set of plants and devices, and nothing else."""
        async with looking(tmp_path, Settings(plants=3, devices=6)) as seen:
            assert await seen.look() == []
            offered = {(s.plant_id, s.device_id, s.set) for s in seen.running.cloud.truth.series()}
            devices = {d.device_id for plant in seen.running.cloud.world.plants() for d in plant.devices}
            assert {known.device.device_id for known in seen.inventory.devices()} == devices
            assert offered <= seen.sets()

    async def test_trouble_with_one_plant_is_told_and_costs_no_other(self, tmp_path: Path) -> None:
        """The plant is named with its reason and stays due; the other is known whole."""
        settings = Settings(plants=2, devices=3)
        async with looking(tmp_path, settings) as seen:
            lost, fine = (plant.plant_id for plant in seen.running.cloud.world.plants())
            refuse(seen.running, f"/plants/{lost}/devices", 403)
            trouble = await seen.look()
            known = {plant.plant.plant_id: plant.explored_at for plant in seen.inventory.plants()}
            assert {each.plant_id for each in trouble} == {lost}
            assert "403" in str(trouble[0].error)
            assert known == {lost: None, fine: NOW}
            assert {plant for plant, _, _ in seen.sets()} == {fine}

    async def test_a_plant_without_a_list_of_sets_has_its_energy_balance(self, tmp_path: Path) -> None:
        """No list of sets is documented for plants; a 404 there is no trouble."""
        async with looking(tmp_path, Settings(plants=1, devices=1)) as seen:
            plant = seen.running.cloud.world.plants()[0].plant_id
            refuse(seen.running, f"/plants/{plant}/measurements/sets", 404)
            assert await seen.look() == []
            assert (plant, None, ENERGY_BALANCE.name) in seen.sets()

    async def test_sets_that_cannot_be_listed_for_once_are_not_forgotten(self, tmp_path: Path) -> None:
        """A failed list says nothing about what there is."""
        async with looking(tmp_path, Settings(plants=1, devices=3)) as seen:
            await seen.look()
            before = seen.sets()
            device = seen.running.cloud.world.plants()[0].devices[0].device_id
            refuse(seen.running, f"/devices/{device}/measurements/sets", 403)
            trouble = await seen.look(NOW + EXPLORE_AGAIN)
            assert len(trouble) == 1
            assert seen.sets() == before

    async def test_a_device_without_a_list_of_sets_is_no_trouble(self, tmp_path: Path) -> None:
        """A virtual device may answer 404; what is known of a device stays."""
        async with looking(tmp_path, Settings(plants=1, devices=3)) as seen:
            await seen.look()
            before = seen.sets()
            device = seen.running.cloud.world.plants()[0].devices[0].device_id
            refuse(seen.running, f"/devices/{device}/measurements/sets", 404)
            assert await seen.look(NOW + EXPLORE_AGAIN) == []
            assert seen.sets() == before

    async def test_a_new_device_without_a_list_of_sets_is_trouble_once(self, tmp_path: Path) -> None:
        """Nobody can tell a device that has none from one that is not found for a moment: it is asked again soon."""
        async with looking(tmp_path, Settings(plants=1, devices=3)) as seen:
            plant = seen.running.cloud.world.plants()[0]
            refuse(seen.running, f"/devices/{plant.devices[0].device_id}/measurements/sets", 404)
            first, known = await seen.look(), {p.plant.plant_id: p.explored_at for p in seen.inventory.plants()}
            again = await seen.look()

            assert [each.plant_id for each in first] == [plant.plant_id]
            assert "404" in str(first[0].error)
            assert known == {plant.plant_id: None}
            assert again == []

    async def test_a_stop_ends_the_enumeration(self, tmp_path: Path) -> None:
        """Nothing new is asked once the word to stop has come."""
        async with looking(tmp_path, Settings(plants=3, devices=3)) as seen:
            plants = await list_plants(seen.client, seen.inventory, NOW)
            asked, stop = seen.running.cloud.counts.spent, asyncio.Event()
            stop.set()
            assert await explore(seen.client, seen.inventory, plants, now=NOW, workers=4, stop=stop) == []
            assert seen.running.cloud.counts.spent == asked


class TestCommand:
    """`harvester discover`."""

    async def _found(self, folder: Path, *arguments: str, names: Iterable[str] = ()) -> tuple[Running, Command]:
        """Discover two plants with these names, of which the second has a GUID for its id."""
        async with serving(Settings(plants=2, devices=2, classic_every=2)) as running:
            accept_all(running)
            world = running.cloud.world
            for plant, name in zip(world.plants(), names, strict=False):
                world._put(dataclasses.replace(plant, name=name))
            return running, await command(environment(running, folder), "discover", *arguments)

    async def test_it_prints_whole_ids(self, tmp_path: Path) -> None:
        """They are what one copies behind --plant."""
        running, told = await self._found(tmp_path)
        assert told.code == 0
        assert [p.plant_id for p in running.cloud.world.plants() if p.plant_id not in told.out] == []

    async def test_the_json_holds_plants_devices_and_sets(self, tmp_path: Path) -> None:
        """Ids and series in full; instants in ISO 8601, as everywhere."""
        running, told = await self._found(tmp_path, "--json")
        assert told.code == 0
        assert told.json["failed"] == []
        for found, plant in zip(told.json["plants"], running.cloud.world.plants(), strict=True):
            assert found["plant_id"] == plant.plant_id
            assert {d["device_id"] for d in found["devices"]} == {d.device_id for d in plant.devices}
            assert any(plant.plant_id in series and "EnergyBalance" in series for series in found["series"])
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\+00:00)", found["start_up"])

    async def test_a_plant_cannot_write_to_the_terminal(self, tmp_path: Path) -> None:
        """Owners name their plants: neither markup nor escape sequences nor line breaks of a name take effect."""
        names = ("[red]x[/] [/b]", "a\x1b[31mred\x1b]0;title\x07b\r\nc\u202ed")
        _, told = await self._found(tmp_path, names=names)
        assert told.code == 0
        assert "[red]x[/] [/b]" in told.out
        assert set(told.out) & set("\x1b\x07\r\x9b\u202e") == set()
        assert len(told.out.rstrip().splitlines()) == 4


async def test_sets_that_could_not_be_listed_are_asked_for_again_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed list of one device's sets ends 3 naming the plant; the next run looks again, and nothing is missing."""
    async with serving(Settings(plants=1, devices=3, start=date(2026, 10, 1))) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        device = running.cloud.world.plants()[0].devices[0].device_id
        answer = running.cloud.answer

        def failing(call: Call) -> Answer:
            return refusal(501) if call.raw_path.endswith(f"/devices/{device}/measurements/sets") else answer(call)

        monkeypatch.setattr(running.cloud, "answer", failing)
        broken = await backfilled(config, date(2026, 10, 5), date(2026, 10, 6))
        monkeypatch.undo()
        healthy = await backfilled(config, date(2026, 10, 5), date(2026, 10, 6))

    assert broken.exit_code == 3
    assert len(broken.misses) == 1
    assert healthy.exit_code == 0
    assert healthy.series > broken.series
