"""What needs a person, and what is said to that person."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harvester.ops.attention import FLEET, Limits, Snapshot, needs_a_person
from harvester.questions.ages import PlantAge
from harvester.sma.consent import ConsentState
from harvester.state.owners import CODE, KnownOwner

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIMITS = Limits()


def keys(seen: Snapshot) -> list[str]:
    """Return the keys of what needs a person."""
    return [alert.key for alert in needs_a_person(seen, LIMITS)]


def age(plant_id: str, hours: float | None) -> PlantAge:
    """Return a plant whose newest row is so old."""
    newest = None if hours is None else NOW - timedelta(hours=hours)
    return PlantAge(plant_id, f"Plant {plant_id}", newest, None if hours is None else int(hours * 3600))


def owner(state: ConsentState, days: float, **more: Any) -> KnownOwner:
    """Return an owner whose consent stands so for some days."""
    return KnownOwner(owner="ada@example.org", state=state.value, since=NOW - timedelta(days=days), **more)


def test_nothing_needs_a_person_where_all_is_well() -> None:
    """Fresh plants, an accepted consent, a disk with room."""
    well = Snapshot(
        now=NOW,
        owners=[owner(ConsentState.ACCEPTED, 100)],
        ages=[age("1", 0.2), age("2", None)],
        disk_free=50,
        disk_total=100,
        quarantined=3,
        silent_since=NOW - timedelta(minutes=5),
    )

    assert keys(well) == []
    assert keys(Snapshot(now=NOW)) == []


@pytest.mark.parametrize("state", [ConsentState.REVOKED, ConsentState.REJECTED, ConsentState.EXPIRED])
def test_a_lost_consent_names_the_owner_and_what_to_do(state: ConsentState) -> None:
    """The operator has to know whom to call."""
    alert = needs_a_person(Snapshot(now=NOW, owners=[owner(state, 0)]), LIMITS)[0]

    assert (alert.key, alert.kind) == ("consent:ada@example.org:lost", "consent")
    assert "ada@example.org" in alert.title
    assert "harvester consent request ada@example.org" in alert.remedy
    assert alert.facts["state"] == state.value


@pytest.mark.parametrize(("days", "told"), [(2.9, []), (3.0, ["consent:ada@example.org:pending"])])
def test_who_does_not_answer_is_named_after_some_days(days: float, told: list[str]) -> None:
    """Three by default."""
    assert keys(Snapshot(now=NOW, owners=[owner(ConsentState.PENDING, days)])) == told


def test_an_owner_who_logged_in_on_screen_connects_there_again() -> None:
    """No e-mail is sent in the code grant; whose data were deleted needs nobody; a request may run out unanswered."""
    revoked = owner(ConsentState.REVOKED, 1, grant=CODE)
    alert = needs_a_person(Snapshot(now=NOW, owners=[revoked]), LIMITS)[0]

    assert "web.public_url" in alert.remedy
    assert keys(Snapshot(now=NOW, owners=[replace(revoked, purged_at=NOW)])) == []
    out = owner(ConsentState.PENDING, 1, expires_at=NOW - timedelta(minutes=1))
    assert keys(Snapshot(now=NOW, owners=[out])) == ["consent:ada@example.org:lost"]


@pytest.mark.parametrize(
    ("hours", "firing", "told"), [(24.0, False, False), (24.1, False, True), (12.1, True, True), (12.0, True, False)]
)
def test_a_stale_plant_ends_later_than_it_began(hours: float, firing: bool, told: bool) -> None:  # noqa: FBT001
    """A plant that delivers once a day does not begin and end every day."""
    before = frozenset({"stale:7"} if firing else ())
    found = needs_a_person(Snapshot(now=NOW, ages=[age("7", hours)], firing=before), LIMITS)

    assert [alert.key for alert in found] == (["stale:7"] if told else [])


def test_many_stale_plants_are_one_trouble_of_the_fleet() -> None:
    """Up to fifty have a name each; then one alert stands for all, until half of that many are left."""
    stale = [age(f"{n}", 30) for n in range(51)]
    fresh = [age(f"f{n}", 0.1) for n in range(100)]
    few, many = Snapshot(now=NOW, ages=[*stale[:50], *fresh]), Snapshot(now=NOW, ages=[*stale, *fresh])

    assert len(keys(few)) == 50
    assert keys(many) == [FLEET]
    assert sorted(keys(replace(many, firing=frozenset(["stale:3"])))) == ["stale:3", FLEET]
    alert = needs_a_person(many, LIMITS)[0]
    assert alert.title == "51 of 151 plants have sent nothing new for 24 hours"
    assert "and 31 more" in str(alert.facts["stalest"])
    fewer = Snapshot(now=NOW, ages=[*stale[:26], *fresh], firing=frozenset([FLEET]))
    assert keys(fewer) == [FLEET]
    assert len(keys(replace(fewer, ages=fewer.ages[1:]))) == 25


def test_no_plant_is_blamed_anew_while_sma_is_away() -> None:
    """One cause, one alert; what fired before goes on."""
    away = Snapshot(now=NOW, ages=[age("1", 30), age("2", 30)], silent_since=NOW - timedelta(hours=1))

    assert keys(away) == ["unreachable"]
    assert keys(replace(away, firing=frozenset(["stale:2"]))) == ["unreachable", "stale:2"]
    assert keys(replace(away, silent_since=None, refused=True)) == ["credentials"]


@pytest.mark.parametrize(
    ("free", "firing", "told"), [(10, False, False), (9, False, True), (11, True, True), (12, True, False)]
)
def test_a_disk_is_full_until_there_is_more_room(free: int, firing: bool, told: bool) -> None:  # noqa: FBT001
    """It has to be two percentage points above the limit again."""
    before = frozenset({"disk"} if firing else ())

    assert keys(Snapshot(now=NOW, disk_free=free, disk_total=100, firing=before)) == (["disk"] if told else [])


def test_a_growing_quarantine_and_a_missing_right() -> None:
    """Ten answers a day are no accident; a 403 names the set."""
    assert keys(Snapshot(now=NOW, quarantined=10)) == ["quarantine"]
    assert keys(Snapshot(now=NOW, quarantined=1, firing=frozenset(["quarantine"]))) == ["quarantine"]
    right = needs_a_person(Snapshot(now=NOW, forbidden={"PowerAc": 12}), LIMITS)[0]
    assert (right.key, right.facts["series"]) == ("rights:PowerAc", 12)
    assert "API package" in right.remedy
