"""What the decoder makes of answers, in the slow reader's terms, and where the two differ."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from decoded_rows import indexed_in, rows_in, table_of
from slow_reader import MINUTES, SUMMER, Row, Unreadable, read

from harvester.lake.answers import Bad
from harvester.lake.decode import Decoded
from harvester.lake.period_rows import DecodedPeriods
from harvester.lake.schema import Shape
from harvester.model import Payload, Period, Series, Slice

ASKED = datetime(2024, 6, 3, 8, 0, tzinfo=UTC)
DAY = date(2024, 6, 1)
YEARS = range(1970, 2200)
"""Years that a plant can have measured in, as the lake's contract says."""
Element = tuple[Any, str, str, float]
"""Start, index, channel and value of what an array holds."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request asks for."""

    set: str = "PowerDc"
    device: str | None = "7"
    period: Period = Period.DAY


def payload(body: bytes, asked: Asked = Asked()) -> Payload:
    """Return an answer with *body*."""
    series = Series(plant_id="1", set=asked.set, device_id=asked.device)
    days = () if asked.period.summed else (DAY,)
    return Payload(slice=Slice(series=series, period=asked.period, date=DAY, days=days), body=body, asked_at=ASKED)


def difference(payloads: Sequence[Payload], decoded: Decoded | DecodedPeriods, *, strict: bool) -> str:
    """Say where the decoder has rows or values that the slow reader has not, or the other way round; empty if nowhere.

    With *strict* it may call no answer bad that means something; without, one that is bad in part may lack rows.
    """
    bad = {id(each.payload): each for each in decoded.bad}
    wanted, whole = [], True
    for each in payloads:
        told = bad.get(id(each))
        try:
            rows = meant(each)
        except Unreadable as error:
            if told is None or told.partial:
                return f"not called bad, though it is: {error}"
            continue
        if told is not None and strict and not _may_be_bad(told, rows, each):
            return f"called bad: {told.reason}"
        if told is None or told.partial:
            wanted += rows
        whole &= told is None
    return _missed(decoded, wanted) if whole else _invented(decoded, wanted)


def forgiven(found: str, payloads: Sequence[Payload]) -> bool:
    """Tell whether the decoder is kinder than the slow reader, and may be.

    To spaces and signs in a stamp, and to bytes that are no text where nobody reads: beside the rows.
    """
    if found.startswith("not called bad, though it is: stamp"):
        return True
    texts = [each.body.decode("utf-8", "replace") for each in payloads]
    spoiled = [json.loads(text)["set"] for text in texts if "\ufffd" in text]
    beside = "\ufffd" not in json.dumps(spoiled, ensure_ascii=False)
    return found.startswith("not called bad, though it is: 'utf-8'") and beside


def _may_be_bad(told: Bad, rows: Sequence[Row], payload: Payload) -> bool:
    """Tell whether an answer is bad in part for a row that cannot be placed."""
    return told.partial and len(rows) < len(slowly(payload.body))


def _missed(decoded: Decoded | DecodedPeriods, wanted: Sequence[Row]) -> str:
    found, scalars = _ordered(rows_of(decoded)), _ordered([_without_arrays(row) for row in wanted])
    if found != scalars:
        return f"{found} instead of {scalars}"
    arrays, elements = arrays_of(decoded), elements_of(wanted)
    return "" if arrays == elements else f"{arrays} instead of {elements}"


def _ordered(rows: list[Row]) -> list[Row]:
    """Return *rows* in an order that is none of the decoder's: its rows come day by day."""
    return sorted(rows, key=lambda row: (row.start, json.dumps([row.scalars, row.other], sort_keys=True)))


def _invented(decoded: Decoded | DecodedPeriods, wanted: Sequence[Row]) -> str:
    scalars, elements = [_without_arrays(row) for row in wanted], elements_of(wanted)
    more: list[object] = [row for row in rows_of(decoded) if row not in scalars]
    more += [element for element in arrays_of(decoded) if element not in elements]
    return f"{more} are not there" if more else ""


def _without_arrays(row: Row) -> Row:
    return Row(row.start, row.scalars, {}, {name: _kept(value) for name, value in row.other.items()})


def _kept(value: Any) -> Any:
    """Return what is left of a value among `other`: of a whole number beyond 64 bits a float."""
    match value:
        case bool():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else float(value)
        case list():
            return [_kept(each) for each in value]
        case dict():
            return {name: _kept(each) for name, each in value.items()}
    return value


def slowly(body: bytes) -> list[Row]:
    """Return all rows of an answer, with the rule for intraday stamps; raise `Unreadable`."""
    try:
        return read(body)
    except TypeError as error:  # a resolution that is no word
        raise Unreadable(str(error)) from error


def meant(payload: Payload) -> list[Row]:
    """Return the rows of an answer that can be placed, in its order; raise `Unreadable`."""
    rows, period = slowly(payload.body), payload.slice.period
    if not period.summed:
        return rows
    resolution = json.loads(payload.body).get("resolution") or ""
    length = timedelta(minutes=MINUTES.get(resolution, 0))
    stamped = [(row, (row.start + length + SUMMER).replace(tzinfo=None)) for row in rows]
    return [Row(_sum_of(at, period), r.scalars, r.arrays, r.other) for r, at in stamped if _begins(at, period)]  # type: ignore[arg-type]


def _begins(stamp: datetime, period: Period) -> bool:
    """Tell whether a sum can begin with *stamp*: at midnight, a month with its first day, of a year that there was."""
    return stamp.time() == time() and stamp.year in YEARS and (period is not Period.YEAR or stamp.day == 1)


def _sum_of(stamp: datetime, period: Period) -> date:
    return date(stamp.year, 1, 1) if period is Period.TOTAL else stamp.date()


def rows_of(decoded: Decoded | DecodedPeriods) -> list[Row]:
    """Return the rows of the table, arrays apart."""
    channels = {column: name for (name, shape), column in table_of(decoded).names.items() if shape is Shape.SCALAR}
    start = "time" if table_of(decoded).period is None else "period_start"
    found = []
    for cells in rows_in(decoded).to_dicts():
        scalars = {name: cells[column] for column, name in channels.items() if cells[column] is not None}
        found.append(Row(cells[start], scalars, {}, json.loads(cells["other"] or "{}")))
    return found


def arrays_of(decoded: Decoded | DecodedPeriods) -> list[Element]:
    """Return everything in the companion table that has a value, sorted."""
    channels = {column: name for (name, shape), column in table_of(decoded).names.items() if shape is Shape.ARRAY}
    start = "time" if table_of(decoded).period is None else "period_start"
    by_index = indexed_in(decoded)
    cells = [] if by_index is None else by_index.to_dicts()
    found = [(c[start], c["index"], n, c[k]) for c in cells for k, n in channels.items() if c[k] is not None]
    return sorted(found)


def elements_of(rows: Sequence[Row]) -> list[Element]:
    """Return the same of the slow reader's rows."""
    each = ((row.start, channel, elements) for row in rows for channel, elements in row.arrays.items())
    return sorted((t, i, channel, v) for t, channel, e in each for i, v in e.items() if v is not None)
