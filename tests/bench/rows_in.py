"""Count the rows of values in a folder of Parquet files by table, as JSON: ours, the script's and dlt's alike."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

VALUES = re.compile(r"(plant|device)_(?!.*(_by_index|_daily|_monthly|_yearly)$)(?!.*__).+")
"""A table of values; dlt puts two underlines before the name of an array."""


def main() -> None:
    """Print the rows of each table."""
    folder = Path(sys.argv[1])
    rows: Counter[str] = Counter()
    for file in folder.rglob("*.parquet"):
        table = file.relative_to(folder).parent.parts
        name = next((part for part in table if VALUES.fullmatch(part)), None)
        if name:
            rows[name] += pq.read_metadata(file).num_rows
    sys.stdout.write(json.dumps(rows))


if __name__ == "__main__":
    main()
