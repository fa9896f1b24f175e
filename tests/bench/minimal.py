"""The least that decoding can be: what the answers of the local cloud need, and no check at all."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import polars as pl

from harvester.lake.naming import channel_column
from harvester.lake.schema import Shape, TableSchema

ELEMENTS = pl.List(pl.Struct({"index": pl.String, "value": pl.Float64}))


class _Plant(msgspec.Struct):
    plantId: str  # noqa: N815 - SMA's spelling
    timezone: str


class _Envelope(msgspec.Struct):
    set: msgspec.Raw
    plant: _Plant


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def decode(bodies: list[bytes], table: TableSchema) -> int:
    """Turn *bodies* of one set into rows in UTC and rows by index, and return how many rows there were."""
    wire = {"time": pl.String(), **{n: ELEMENTS if s is Shape.ARRAY else pl.Float64() for n, s in table.names}}
    frames, plants, heights = [], [], []
    for body in bodies:
        envelope = _ENVELOPE.decode(body)
        frame = pl.read_json(bytes(envelope.set), schema=wire)
        frames.append(frame)
        plants.append(envelope.plant.plantId)
        heights.append(frame.height)
    whole_frame = pl.concat(frames)
    keys = pl.DataFrame({"plant_id": plants, "n": heights}).select(pl.col("plant_id").repeat_by("n"))
    frame = (
        keys.explode("plant_id", empty_as_null=False)
        .hstack(whole_frame)
        .with_columns(
            # Berlin's summer offset: all of the sandbox's plants stand there, and no clock changes in these weeks
            pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us") - timedelta(hours=2)
        )
    )
    arrays = [name for name, shape in table.names if shape is Shape.ARRAY]
    rows = frame.drop(arrays).rename({n: channel_column(n) for n, s in table.names if s is Shape.SCALAR})
    if arrays:
        _flatten(frame, arrays)
    return rows.height


def _flatten(frame: pl.DataFrame, arrays: list[str]) -> pl.DataFrame:
    """Return one row per row and index; the sandbox's arrays of one row all have the same indexes."""
    numbered = frame.with_row_index("_row")
    pieces = [
        numbered.select("_row", name).drop_nulls(name).explode(name, empty_as_null=False).unnest(name)
        for name in arrays
    ]
    longest = max(pieces, key=len)
    values = [
        piece.get_column("value").alias(name)
        for name, piece in zip(arrays, pieces, strict=True)
        if len(piece) == len(longest)
    ]
    return frame.select("plant_id", "time")[longest.get_column("_row")].with_columns(longest["index"], *values)
