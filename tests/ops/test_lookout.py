"""From a real harvest to what an operator is told: metrics, alerts, and what a page needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from present import Present
from prometheus_client.parser import text_string_to_metric_families
from running import accept_all, backfilled, command, configured, environment

from harvester.compose import scope_of, utc_now
from harvester.config import Config
from harvester.lake.layout import Places
from harvester.lake.quarantine import Quarantine
from harvester.ops.alerts import Alerts
from harvester.ops.attention import Alert, Limits
from harvester.ops.contact import Contact
from harvester.ops.lookout import Lookout, Sources
from harvester.ops.metrics import Metrics
from harvester.questions.standing import shares
from harvester.sandbox import Faults, Settings, serving
from harvester.sma.tally import Call
from harvester.sma.wire import Kind
from harvester.state.database import connect
from harvester.state.history import History
from harvester.state.inventory import Inventory
from harvester.state.ledger import Failure, Ledger
from harvester.state.owners import Owners, Seen

TODAY = utc_now().date()


@contextmanager
def sources_of(config: Config) -> Iterator[tuple[Sources, Ledger]]:
    """Open what there is to look at, and the ledger."""
    engine = connect(config.ledger.path)
    history, scope = History(engine), scope_of(config)
    settle_after = timedelta(days=config.harvest.settle_days)
    sources = Sources(
        inventory=Inventory(engine, plants_per_file=100),
        history=history,
        owners=Owners(engine),
        quarantine=Quarantine(Places(config.lake.root)),
        root=config.lake.root,
        scope=scope,
        live_sets=config.harvest.live_sets,
        shares=lambda now: shares(history, scope, config.harvest.since, settle_after=settle_after, now=now),
    )
    try:
        yield sources, Ledger(engine)
    finally:
        engine.dispose()


def numbers(metrics: Metrics) -> dict[str, float]:
    """Return samples by name and the one label that is asked about, if any."""
    families = text_string_to_metric_families(metrics.render()[0].decode())
    samples = (s for family in families for s in family.samples)
    return {":".join([s.name.removeprefix("sma_harvester_"), *s.labels.values()]): s.value for s in samples}


async def test_what_a_harvest_left_is_told(tmp_path: Path) -> None:
    """Fresh plants trouble nobody; days later they are stale, an owner is gone, a right lacks, SMA is silent."""
    settings = Settings(plants=2, devices=1, classic_every=0, start=TODAY - timedelta(days=15))
    async with serving(settings) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"], harvest__since="12d")
        await backfilled(config, TODAY - timedelta(days=12), TODAY)
    present, metrics = Present(2026, 1, 1), Metrics()
    present.now = utc_now()
    contact = Contact(present)
    with sources_of(config) as (sources, ledger):
        alerts = Alerts(None, ledger, host="box", wall=present, notified=metrics.notified)
        lookout = Lookout(
            sources,
            metrics=metrics,
            alerts=alerts,
            contact=contact,
            limits=Limits(disk_free_percent=0.001),
            wall=present,
        )
        await lookout.look()
        seen = numbers(metrics)

        assert alerts.keys == frozenset()
        assert (seen["plants"], seen["plants_stale"], seen["coverage_ratio:1"]) == (2, 0, 1)
        assert seen["age_seconds:1"] < 86_400
        assert seen["coverage_series_days:due"] == seen["coverage_series_days:settled"] > 0
        assert seen["disk_total_bytes"] > seen["disk_free_bytes"] > 0
        assert seen["alerts_firing:stale"] == 0

        known = sources.inventory.offered_series(0)[0]
        refused = Failure(series_id=known.series_id, day=TODAY, failed_at=present(), reason="GET /x: 403, no")
        ledger.commit([], [refused])
        sources.owners.record(Seen(owner="owner@example.org", state="Revoked"), present())
        present.advance(days=2)
        folder = sources.quarantine.places.quarantine
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(12):
            asked = present() - timedelta(hours=30 if number < 2 else number)
            (folder / f"{asked:%Y%m%dT%H%M%S}-{number}.json").write_text("{}", encoding="utf-8")
        await lookout.look()
        plants = {f"stale:{age.plant_id}" for age in lookout.seen.ages}
        assert alerts.keys == {*plants, "consent:owner@example.org:lost", "rights:EnergyBalance", "quarantine"}
        assert lookout.seen.quarantined == 10
        assert numbers(metrics)["consents:revoked"] == 1
        assert numbers(metrics)["alerts_firing:stale"] == 2

        contact.on_request(Call(kind=Kind.VALUES, outcome="Unreachable", status=None, seconds=1.0, size=0))
        present.advance(hours=1)
        await lookout.look()
        assert "unreachable" in alerts.keys
        contact.on_request(Call(kind=Kind.VALUES, outcome="ok", status=200, seconds=1.0, size=0))
        await lookout.look()
        assert "unreachable" not in alerts.keys
        assert lookout.seen.consents == {"Revoked": 1}
        await alerts.aclose()


async def told(config: Config) -> tuple[list[Alert], set[str]]:
    """Look once, whatever disk and days are; return what needs a person, and the states of the owners' consents."""
    with sources_of(config) as (sources, ledger):
        metrics = Metrics()
        alerts = Alerts(None, ledger, host="box", wall=utc_now, notified=metrics.notified)
        limits = Limits(disk_free_percent=0.001, stale_hours=10_000)
        lookout = Lookout(
            sources, metrics=metrics, alerts=alerts, contact=Contact(utc_now), limits=limits, wall=utc_now
        )
        await lookout.look()
        await alerts.aclose()
        return [entry.alert for entry in alerts.firing], {owner.state for owner in lookout.seen.owners}


async def test_a_403_while_consent_reads_accepted_is_a_missing_right(tmp_path: Path) -> None:
    """Not the owner is blamed, but the client's package; what failed stays due, and once it is granted all is well."""
    settings = Settings(plants=2, devices=2, classic_every=0, start=TODAY - timedelta(days=15))
    first, last = TODAY - timedelta(days=12), TODAY - timedelta(days=11)
    async with serving(replace(settings, faults=Faults(failing=("PowerAc:403",)))) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        env = environment(running, tmp_path)
        consent = await command(env, "consent", "status", "--json")
        refused = await backfilled(config, first, last)
        alerts, states = await told(config)
        gaps = await command(env, "gaps", "--from", str(first), "--to", str(last), "--json")
        running.cloud.faults = Faults()
        granted = await command(env, "repair", "--from", str(first), "--to", str(last), "--json")
        after, _ = await told(config)

    assert [each["state"] for each in consent.json] == ["Accepted"]
    assert refused.exit_code == 3
    assert {miss.reason.partition(": ")[2][:3] for miss in refused.misses} == {"403"}
    assert ([alert.key for alert in alerts], states) == (["rights:PowerAc"], {"Accepted"})
    assert "missing API right" in alerts[0].title
    assert "owners' consent holds" in alerts[0].remedy
    assert "API package" in alerts[0].remedy
    assert {each["set"] for each in gaps.json} == {"PowerAc"}
    assert granted.code == 0
    assert after == []


async def test_a_403_of_an_owner_who_has_revoked_is_no_missing_right(tmp_path: Path) -> None:
    """The plants leave the list with the consent, and it is the consent that is told of."""
    settings = Settings(plants=1, devices=2, classic_every=0, start=TODAY - timedelta(days=15))
    first, last = TODAY - timedelta(days=12), TODAY - timedelta(days=11)
    async with serving(replace(settings, faults=Faults(failing=("PowerAc:403",)))) as running:
        accept_all(running)
        config = configured(running, tmp_path)
        await backfilled(config, first, last)
        for owner in running.cloud.settings.owners:
            running.cloud.revoke(owner)
        ended = await command(environment(running, tmp_path), "run")
        alerts, states = await told(config)

    assert ended.code == 4
    assert "Revoked" in ended.err
    assert ({alert.kind for alert in alerts}, states) == ({"consent"}, {"Revoked"})
