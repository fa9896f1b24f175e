"""Each fault at each of the places before the values: the lists, the token, the consent.

Nothing can be asked, or a plant is named as not enumerated, or it does not matter; and afterwards all is there.
"""

import asyncio
import re
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from holes import lacking
from impatient import harvested_soon
from present import Present
from running import Command, accept_all, command, configured, environment
from truth_frames import days, truth_tables
from wire_word import Asked, broken_words, untrue

from harvester.compose import scope_of
from harvester.config import Config
from harvester.errand import Errand, wanted
from harvester.errors import HarvestError
from harvester.report import Report
from harvester.sandbox import Cloud, Faults, Running, Settings, serving
from harvester.sandbox.exchange import Call

DAY = date(2026, 5, 13)
CLOUD = Settings(plants=1, devices=1, classic_every=0, start=date(2026, 5, 12))
SMALL = {
    "harvest__exclude_sets": ["EnergyAndPowerPv", "PowerDc", "GridSettings"],
    "sma__owners": ["owner@example.org"],
}
PLACES = {
    "plants": ("/plants?",),
    "devices": ("/devices/lean?", "/devices?"),
    "sets": ("/measurements/sets$",),
    "token": ("/oauth2/token",),
    "consent": ("/bc-authorize",),
}
WORDS = {
    "hang": "no whole answer in time",
    "circle": "circle|308",
    "elsewhere": "another host|308",
    "http_401": "401",
    "http_403": "403",
    "http_404": "404",
    "http_408": "408",
    "http_425": "425",
    "http_500": "500",
    "http_502": "502",
    "http_503": "503",
    "http_504": "504",
    "html": "HTML instead of a JSON object",
    "empty_body": "an empty body instead of a JSON object",
    "cut_json": "cut JSON instead of a JSON object",
    "octets": "not the JSON that was promised",
    "reset": "broke off",
    "stall": "no whole answer in time",
    "drip": "no whole answer in time",
    "endless": "more than 2000000 bytes",
    "bomb": "more than 2000000 bytes",
    "chunks": "HTTP or its encoding promise",
    "http_429": "429",
    "http_429_bare": "429",
}
"""Each fault that costs an answer, and what a person reads, as a pattern; last what makes the later ones wait."""


@cache
def truth() -> dict[str, pl.DataFrame]:
    """Return every row of the sets that are asked which the cloud ever serves."""
    served = truth_tables(Cloud(CLOUD), days(DAY.replace(day=12), DAY.replace(day=21)))
    return {name: frame for name, frame in served.items() if name in {"plant_energy_balance", "device_power_ac"}}


async def asked(config: Config, command: str, now: Present) -> Report | HarvestError:
    """Backfill or repair the day; whatever else than one of our errors ends it ends the test."""
    errand = Errand(command=command, scope=scope_of(config), first=DAY, last=DAY)
    try:
        return await harvested_soon(config, wanted(errand, config, now()), now)
    except HarvestError as error:
        return error


def codes(place: str, fault: str) -> set[int]:
    """Return the exit codes that are right where nothing but *fault* comes of a *place*."""
    if place in {"devices", "sets"}:
        return {3}  # a plant could not be enumerated
    if place == "token" and fault in {"circle", "elsewhere", "http_404"}:
        return {2}  # nothing gives tokens there: the address is wrong
    return {4}


def told(outcome: Report | HarvestError) -> list[str]:
    """Return what a person reads of it."""
    if isinstance(outcome, Report):
        assert all(miss.what.endswith(" devices and sets") for miss in outcome.misses)
        return [miss.reason for miss in outcome.misses]
    return [str(outcome)]


def is_whole(config: Config) -> None:
    """Fail where the lake is not the truth, row for row."""
    assert untrue(config.lake.root, truth()) == []
    assert lacking(config.lake.root, truth(), DAY, DAY) == set()


def impatient(running: Running, folder: Path, *, timeout: float = 0.2) -> Config:
    """Return a configuration that waits for nothing long."""
    return configured(running, folder, **SMALL, sma__timeout_seconds=timeout, rate__window_seconds=0.2)


@pytest.mark.parametrize("place", ["plants", "devices", "sets", "token"])
async def test_each_fault_of_a_place_has_its_code_and_its_words(tmp_path: Path, place: str) -> None:
    """One after the other over one lake, which stays empty; when all is well again, one command ends with the truth."""
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        config = impatient(running, tmp_path)
        for fault, words in WORDS.items():
            if (place, fault) == ("sets", "http_404"):
                continue  # means that there are none, once the devices are known
            running.cloud.faults = Faults(only=PLACES[place], everywhere=True, **{fault: 1.0})
            outcome = await asked(config, "backfill", now)

            assert running.cloud.counts.struck[fault], fault
            assert outcome.exit_code in codes(place, fault), (fault, outcome)
            assert told(outcome), fault
            assert all(re.search(words, reason) for reason in told(outcome)), (fault, told(outcome))
            assert running.cloud.counts.requests["values"] == 0
        running.cloud.faults = Faults()
        last = await asked(impatient(running, tmp_path, timeout=30), "repair", now)

    assert isinstance(last, Report)
    assert (last.exit_code, last.misses) == (0, [])
    is_whole(config)


async def test_a_list_of_sets_that_is_unknown_is_believed_the_second_time(tmp_path: Path) -> None:
    """A 404 of a new device is a failure, 3 with the device named; of a known one it says that it has none, for a day.

    The plant's balance is asked all the same.
    """
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        config = impatient(running, tmp_path)
        running.cloud.faults = Faults(only=PLACES["sets"], http_404=1.0)
        first, again = [await asked(config, "backfill", now) for _ in range(2)]
        lacked = {table for table, *_ in lacking(config.lake.root, truth(), DAY, DAY)}
        running.cloud.faults = Faults()
        now.advance(days=1)
        second = await asked(config, "backfill", now)

    assert (first.exit_code, again.exit_code, second.exit_code) == (3, 0, 0)
    assert any("/measurements/sets" in reason and "404" in reason for reason in told(first))
    assert lacked == {"device_power_ac"}
    is_whole(config)


@pytest.mark.parametrize("fault", [*WORDS, "wrong_type"])
async def test_consents_that_cannot_be_read_are_in_nobodys_way(tmp_path: Path, fault: str) -> None:
    """The plant list decides: whose consent a new plant came with remains open, and the lake is whole."""
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        config = impatient(running, tmp_path)
        running.cloud.faults = Faults(only=PLACES["consent"], everywhere=True, **{fault: 1.0})
        outcome = await asked(config, "backfill", now)

    assert isinstance(outcome, Report)
    assert (outcome.exit_code, outcome.misses) == (0, [])
    assert running.cloud.counts.struck[fault] > 0
    is_whole(config)


@pytest.mark.parametrize("fault", ["http_308", "wrong_type"])
async def test_what_is_only_spelled_otherwise_is_the_same(tmp_path: Path, fault: str) -> None:
    """Lists, token and consent by another address or of another type: the truth."""
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        config = impatient(running, tmp_path)
        running.cloud.faults = Faults(everywhere=True, **{fault: 1.0})
        outcome = await asked(config, "backfill", now)

    assert isinstance(outcome, Report)
    assert (outcome.exit_code, outcome.misses) == (0, [])
    is_whole(config)


@pytest.mark.parametrize("beside", [("http_503", "reset"), ("empty_body", "hang")], ids="-".join)
async def test_a_token_that_is_lost_on_the_way_costs_no_row(tmp_path: Path, beside: tuple[str, str]) -> None:
    """Values refuse the token, and then no other is to be had: each hole is named, and the end is the truth."""
    now = Present(2026, 5, 20, 12)
    async with serving(CLOUD, now=now) as running:
        accept_all(running)
        config = impatient(running, tmp_path)
        plants = frozenset(plant.plant_id for plant in running.cloud.truth.plants())
        rates = dict.fromkeys(("http_401", *beside), 0.3)
        running.cloud.faults = Faults(only=(*PLACES["token"], "/measurements/sets/"), everywhere=True, **rates)
        codes: list[int] = []
        for _ in range(8):
            outcome = await asked(config, "repair" if codes else "backfill", now)
            codes.append(outcome.exit_code)
            report = outcome if isinstance(outcome, Report) else None
            assert untrue(config.lake.root, truth()) == []
            assert broken_words(config, Asked(first=DAY, last=DAY, plants=plants, truth=truth()), report) == []
        running.cloud.faults = Faults()
        last = await asked(impatient(running, tmp_path, timeout=30), "repair", now)

    assert 4 in codes
    assert set(codes) <= {0, 3, 4}
    assert running.cloud.counts.struck.keys() == rates.keys()
    assert last.exit_code == 0
    is_whole(config)


async def requested(folder: Path, fault: str) -> Command:
    """Ask an owner for consent while bc-authorize has the fault."""
    faults = Faults(only=PLACES["consent"], everywhere=True, **{fault: 1.0})
    async with serving(replace(CLOUD, faults=faults)) as running:
        return await command(environment(running, folder / fault), "consent", "request", "ann@example.org")


async def test_a_command_that_asks_for_consent_says_what_failed(tmp_path: Path) -> None:
    """3, the owner and the reason, and no traceback; what is tried again for long is not tried here."""
    refused, sent_away = await asyncio.gather(requested(tmp_path, "http_403"), requested(tmp_path, "circle"))

    assert (refused.code, sent_away.code) == (3, 3)
    assert "ann@example.org: POST /oauth2/v2/bc-authorize: 403" in refused.err
    assert "ann@example.org: POST /oauth2/v2/bc-authorize: 308" in sent_away.err
    assert "Traceback" not in refused.err + sent_away.err


def post(cloud: Cloud, path: str, kind: str, body: bytes) -> int:
    """Post something to a cloud without a socket, and return the status."""
    call = Call(method="POST", origin="", raw_path=path, raw_query="", headers={"Content-Type": kind}, body=body)
    return cloud.answer(call).status


def test_what_lies_beside_the_monitoring_api_is_spoiled_on_demand_only() -> None:
    """Without the switch a token is a token, whatever the rates say; with it, other addresses are as they were."""
    form = b"grant_type=client_credentials&client_id=local-sandbox&client_secret=local-sandbox"
    beside = {"/oauth2/token": "application/x-www-form-urlencoded", "/oauth2/v2/bc-authorize": "application/json"}
    found = []
    for everywhere in (False, True):
        cloud = Cloud(replace(CLOUD, faults=Faults(http_503=1.0, everywhere=everywhere)))
        statuses = [post(cloud, path, kind, form) for path, kind in beside.items()]
        found.append((*statuses, post(cloud, "/oauth2/logout", "", b""), cloud.counts.struck["http_503"]))

    assert found == [(200, 401, 401, 0), (503, 503, 401, 2)]
