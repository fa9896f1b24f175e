"""A file of owners' e-mail addresses, as spreadsheets and customer systems write it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from harvester.config.values import email_address
from harvester.errors import ConfigError

HEADS = ("email", "owner", "loginhint")
"""Names of the column, without regard to case, hyphens, blanks and underscores; the first of them counts."""

_Row = tuple[int, list[str]]


def owners_in(file: Path) -> list[str]:
    """Return the addresses in the CSV *file*, each once, in their order.

    Commas or semicolons, UTF-8 with or without a byte order mark; a column with a name of `HEADS`, or one column
    without a head. Raises `ConfigError` naming every bad line with its number.
    """
    lines = list(_rows(file, _text(file)))
    if not lines:
        raise ConfigError(f"{file}: there is no address in this file; it needs one on each line, or a column email")
    column, rows = _column(file, lines)
    found: dict[str, str] = {}
    bad: list[str] = []
    for number, cells in rows:
        address = cells[column] if column < len(cells) else ""
        try:
            found.setdefault(address.casefold(), email_address(address))
        except ValueError:
            bad.append(f"line {number}: {f'{address!r} is no e-mail address' if address else 'no address'}")
    if bad:
        raise ConfigError(f"{file}: nobody was asked. Correct these lines first:\n  " + "\n  ".join(bad))
    if not found:
        raise ConfigError(f"{file}: there is no address below the heads of the columns")
    return list(found.values())


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); give the path of a CSV file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text; save it as CSV in UTF-8") from error


def _rows(file: Path, text: str) -> Iterator[_Row]:
    """Yield each line that is not empty with its number, cells without blanks around them."""
    lines = text.splitlines(keepends=True)
    first = next((line for line in lines if line.strip()), "")
    reader = csv.reader(lines, delimiter=";" if first.count(";") > first.count(",") else ",", strict=True)
    number = 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield number, stripped
            number = reader.line_num + 1
    except csv.Error as error:
        raise ConfigError(f"{file}, line {number}: is not CSV ({error}); quote a cell on both sides") from error


def _column(file: Path, rows: Sequence[_Row]) -> tuple[int, Sequence[_Row]]:
    """Return which column holds the addresses, and the rows without their heads."""
    _, heads = rows[0]
    names = ["".join(c for c in head.casefold() if c not in "-_ ") for head in heads]
    for name in HEADS:
        if name in names:
            return names.index(name), rows[1:]
    if len(heads) == 1:
        return 0, rows
    raise ConfigError(
        f"{file}: no column is called email (or e-mail, owner, loginHint) but {', '.join(map(repr, heads))}; "
        "name the column of the addresses so in the first line"
    )
