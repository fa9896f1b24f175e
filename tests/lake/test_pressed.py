"""Rows that wait pressed are the rows that were pressed."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from harvester.lake.decode import decode
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import publish, read
from harvester.lake.pressed import Pressed, days_of, press, rows_of
from harvester.lake.registry import Registry
from harvester.model import Payload, Period, Series, Slice

DAY = date(2026, 6, 3)
CELLS = st.one_of(st.none(), st.floats(allow_nan=False))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.none(), st.text(max_size=20)), CELLS, st.booleans()), max_size=40
    )
)
def test_every_day_comes_back_as_it_was(rows: list[tuple[int, str | None, float | None, bool]]) -> None:
    """Values, missing ones, order and types, day by day; no day is made up."""
    frame = pl.DataFrame(
        [(DAY + timedelta(days=n), word, number, mark) for n, word, number, mark in rows],
        schema={"_date": pl.Date, "plant_id": pl.String, "value": pl.Float64, "_whole": pl.Boolean},
        orient="row",
    )

    pressed = Pressed.of(frame)

    assert set(days_of(pressed)) == set(days_of(frame)) == set(frame.get_column("_date"))
    for day in days_of(frame):
        assert rows_of(pressed, day).equals(rows_of(frame, day))
        assert rows_of(pressed, day).schema == frame.schema


def answer(plant: str, hour: int, *, more: str = "") -> Payload:
    """Return an answer of two rows, on two days, of a set with an array channel."""
    element = f'[{{"index":"A","value":{hour}.5}}]'
    rows = ",".join(
        f'{{"time":"{DAY + timedelta(days=n)}T{hour:02d}:00:00","dcPowerInput":{element}{more}}}' for n in (0, 1)
    )
    series = Series(plant_id=plant, device_id="7", set="PowerDc")
    return Payload(
        slice=Slice(series=series, period=Period.WEEK, date=DAY, days=()),
        body=f'{{"resolution":"OneHour","set":[{rows}]}}'.encode(),
        asked_at=datetime(2026, 7, 1, tzinfo=UTC),
    )


def test_pressed_or_not_the_same_is_published(tmp_path: Path) -> None:
    """Some pieces pressed and some not, one with a channel that the others lack: the same files and figures."""
    zones = dict.fromkeys("12", "Europe/Berlin")
    written, frames = [], []
    for folder, pressing in (("loose", ()), ("some", (0,)), ("all", (0, 1, 2))):
        registry, places = Registry(tmp_path / folder / "registry.json"), Places(tmp_path / folder)
        answers = [[answer("2", 9)], [answer("1", 10), answer("2", 11, more=',"gained":1.0')], [answer("1", 9)]]
        pieces = [decode(some, registry, zones) for some in answers]
        written.append(publish(places, 0, [press(p) if n in pressing else p for n, p in enumerate(pieces)]))
        tables = ("device_power_dc", "device_power_dc_by_index")
        frames.append([read(places.file(Partition(t, DAY + timedelta(days=n), 0))) for t in tables for n in (0, 1)])

    assert written[0] == written[1] == written[2]
    assert written[0].rows == {"device_power_dc": 8, "device_power_dc_by_index": 8}
    for loose, *pressed in zip(*frames, strict=True):
        assert loose is not None
        assert loose.height == 4
        assert all(loose.equals(other) for other in pressed)
