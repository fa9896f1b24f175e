"""Rows that wait without what they share come back whole: every row once, with its day, its answer and its values."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harvester.lake.decode import decode
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import publish, read
from harvester.lake.readings import MARKS, Readings, by_day
from harvester.lake.registry import Registry
from harvester.lake.runs import ROWS_OF_A_DAY, Said
from harvester.lake.schema import WALL_CLOCK
from harvester.model import Level, Payload, Period, Series, Slice

DAY = date(2026, 6, 3)
MIDNIGHT = datetime(2026, 6, 3)  # noqa: DTZ001 - a wall clock
ASKED = datetime(2026, 7, 1, tzinfo=UTC)
OFFSET = timedelta(hours=2)
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.none() | st.floats(0, 9), st.booleans()), max_size=9)
ANSWERS = st.lists(st.tuples(st.sampled_from("ba"), st.sampled_from("21"), st.booleans(), ROWS), max_size=5)
"""Plant, device, whether its first day was asked alone, and rows: day, hour, value, whether the day repeats an hour."""
Answers = list[tuple[str, str, bool, list[tuple[int, int, float | None, bool]]]]


def readings(registry: Registry, answers: Answers, channel: str) -> Readings:
    """Return the readings of *answers*, whose values are those of *channel*, which is a scalar."""
    said = [
        Said(plant, device, 60, ASKED + timedelta(seconds=n), DAY if alone else None, len(rows))
        for n, (plant, device, alone, rows) in enumerate(answers)
    ]
    flat = [row for *_, rows in answers for row in rows]
    wall = [MIDNIGHT + timedelta(days=day, hours=hour) for day, hour, _, _ in flat]
    frame = pl.DataFrame(
        {
            "time": pl.Series([at - OFFSET for at in wall], dtype=WALL_CLOCK),
            "local_time": pl.Series(wall, dtype=WALL_CLOCK),
            channel: pl.Series([value for _, _, value, _ in flat], dtype=pl.Float64),
            "_repeats": pl.Series([dict(zip(wall, flat, strict=True))[at][3] for at in wall], dtype=pl.Boolean),
        }
    )
    return Readings.of(registry.table(Level.DEVICE, "Sensor"), said, frame)


def expected(pieces: Sequence[tuple[Answers, str]]) -> dict[date, list[dict[str, Any]]]:
    """Return the same rows by day, those of each series in the order in which they came."""
    found: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for answers, channel in pieces:
        for n, (plant, device, alone, rows) in enumerate(answers):
            for day, hour, value, _ in rows:
                wall, same = MIDNIGHT + timedelta(days=day, hours=hour), sum(row[0] == day for row in rows)
                cells = {
                    "plant_id": plant,
                    "device_id": device,
                    "time": (wall - OFFSET).replace(tzinfo=UTC),
                    "local_time": wall,
                    "interval_minutes": 60,
                    "harvested_at": ASKED + timedelta(seconds=n),
                    "_date": wall.date(),
                    "_whole": day == 0 if alone else same >= ROWS_OF_A_DAY,
                }
                found[wall.date()].append(cells | ({} if value is None else {channel: value}))
    return {day: sorted(some, key=lambda cells: (cells["plant_id"], cells["device_id"])) for day, some in found.items()}


@given(ANSWERS, ANSWERS)
@settings(deadline=None, max_examples=150)
def test_every_row_comes_back_with_what_its_answer_said(
    tmp_path_factory: pytest.TempPathFactory, first: Answers, more: Answers
) -> None:
    """In whatever order stamps come, alternating between days too, and where one piece has a channel more."""
    registry = Registry(tmp_path_factory.mktemp("registry") / "registry.json")
    pieces = [(first, "wind_speed"), (more, "ambient_temperature")]

    days = list(by_day([readings(registry, *piece) for piece in pieces]))

    wanted = expected(pieces)
    assert [day.date for day in days] == sorted(wanted)
    for day in days:
        cells = day.rows.drop("_repeats").to_dicts()
        assert [{name: value for name, value in row.items() if value is not None} for row in cells] == wanted[day.date]
        assert set(MARKS) <= set(day.rows.columns)
        keys = day.rows.select("plant_id", "device_id", "time").rows()
        assert keys == sorted(set(keys)) or not day.ascends
        assert day.by_index is None


def test_rows_that_come_by_key_are_known_to(tmp_path: Path) -> None:
    """One run a series, of later and later rows; not with equal or earlier stamps, or a series that comes again."""
    registry = Registry(tmp_path / "registry.json")
    rising, level = [(0, 1, 1.0, False), (0, 2, 1.0, False)], [(0, 1, 1.0, False), (0, 1, 2.0, False)]
    cases: list[tuple[Answers, bool]] = [
        ([("b", "1", False, rising), ("a", "2", False, rising), ("a", "1", False, rising)], True),
        ([("b", "1", False, rising), ("a", "2", False, level)], False),
        ([("b", "1", False, rising), ("a", "2", False, rising[::-1])], False),
        ([("b", "1", False, rising), ("b", "1", False, rising)], False),
    ]
    for answers, ascends in cases:
        assert [day.ascends for day in by_day([readings(registry, answers, "wind_speed")])] == [ascends]


def test_repeating_days_are_marked(tmp_path: Path) -> None:
    """Each row says whether its own day repeats an hour."""
    registry = Registry(tmp_path / "registry.json")
    answers: Answers = [
        ("a", "1", False, [(0, 1, 1.0, False), (1, 1, 1.0, True), (1, 2, 1.0, True), (2, 0, 1.0, False)])
    ]
    days = by_day([readings(registry, answers, "wind_speed")])

    assert {day.date: day.rows.get_column("_repeats").to_list() for day in days} == {
        DAY: [False],
        DAY + timedelta(days=1): [True, True],
        DAY + timedelta(days=2): [False],
    }


def test_channels_without_a_value_take_no_room(tmp_path: Path) -> None:
    """What holds nothing waits as nothing, and is a column without values in the lake."""
    registry, places = Registry(tmp_path / "registry.json"), Places(tmp_path / "lake")
    piece = readings(registry, [("a", "1", False, [(0, 1, None, False), (0, 2, None, False)])], "wind_speed")
    publish(places, 0, piece.table, by_day([piece]))
    found = read(places.file(Partition("device_sensor", DAY, 0)))

    assert piece.rows.columns == ["time", "local_time"]
    assert found is not None
    assert found.columns == [column.name for column in piece.table.columns]
    assert found.get_column("wind_speed").null_count() == found.height == 2


def test_the_order_of_portions_makes_no_difference(tmp_path: Path) -> None:
    """Series that come in any order, in one portion or in many: the same file."""
    registry = Registry(tmp_path / "registry.json")
    one: Answers = [("b", "2", False, [(0, 3, 3.0, False), (0, 1, 1.0, False)])]
    two: Answers = [("a", "1", False, [(0, 2, 2.0, False)])]
    orders: list[list[Answers]] = [[one, two], [two, one], [[*one, *two]]]
    frames = []
    for number, order in enumerate(orders):
        places = Places(tmp_path / str(number))
        pieces = [readings(registry, answers, "wind_speed") for answers in order]
        publish(places, 0, pieces[0].table, by_day(pieces))
        found = read(places.file(Partition("device_sensor", DAY, 0)))
        assert found is not None
        frames.append(found.drop("harvested_at"))

    assert frames[0].select("plant_id", "wind_speed").rows() == [("a", 2.0), ("b", 1.0), ("b", 3.0)]
    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_a_day_without_elements_has_no_companion(tmp_path: Path) -> None:
    """An array that is empty all day makes no row of the companion, and is not counted there."""
    registry, places = Registry(tmp_path / "registry.json"), Places(tmp_path / "lake")
    series = Series(plant_id="1", device_id="7", set="PowerDc")
    rows = [
        {"time": f"{DAY + timedelta(days=day)}T12:00:00", "dcPowerInput": [{"index": "A", "value": 1.0}][:full]}
        for day, full in ((0, 1), (1, 0))
    ]
    body = json.dumps({"resolution": "OneHour", "plant": {"timezone": "Europe/Berlin"}, "set": rows}).encode()
    piece = Slice(series=series, period=Period.WEEK, date=DAY, days=(DAY,))
    decoded = decode([Payload(slice=piece, body=body, asked_at=ASKED)], registry, {})
    days = list(by_day([decoded.readings]))
    written = publish(places, 0, decoded.readings.table, days)

    assert [(day.date, day.by_index is None) for day in days] == [(DAY, False), (DAY + timedelta(days=1), True)]
    assert written.rows == {"device_power_dc": 2, "device_power_dc_by_index": 1}
    assert written.files == 3
