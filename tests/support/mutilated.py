"""Reads mutilated texts with a compiled reader that lies anywhere: ``mutilated.py MODULE COUNT``.

Imports nothing but that, so that it runs under sanitizers. Says how many texts were taken and how many refused.
"""

import json
import random
import sys
from array import array
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Any

FRAGMENTS = (
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"null", b"nul", b"true", b"-", b"0", b"1e", b".", b"e400"),
    *(
        b"\x00",
        b"\xff",
        b" ",
        b"\n",
        b'"time":',
        b'"a":',
        b'"b":[',
        b'{"index":"A"}',
        b'"index":',
        b'"value":',
        b"9" * 30,
    ),
    *(b"9" * 600, b"A" * 70, b'{"index":"A","value":1},' * 70, b"[" * 300, b'"gap":null,', b'"gap":1,'),
)


def loaded(path: str) -> Any:
    """Return the module that lies at *path*."""
    loader = ExtensionFileLoader("_columns", path)
    spec = spec_from_loader("_columns", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def text(chance: random.Random) -> bytes:
    """Return rows of a few channels, mostly spoiled somewhere."""
    rows = []
    for _ in range(chance.randrange(12)):
        row: dict[str, Any] = {
            "time": "2024-06-01T12:00:00.123456789"[: chance.choice((19, 19, 19, 19, 19, 21, 29, chance.randrange(30)))]
        }
        if chance.random() < 0.8:
            row["a"] = chance.choice((1, 0.5, 1e-7, 0.1 + 0.2, 10**30, -0.0, None))
        if chance.random() < 0.5:
            row["b"] = [{"index": index, "value": chance.random()} for index in "ABCDEF"[: chance.randrange(6)]]
        rows.append(row)
    whole = json.dumps(rows, separators=chance.choice(((",", ":"), (", ", ": ")))).encode()
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        at = chance.randrange(len(whole) + 1)
        whole = whole[:at] + chance.choice((b"", *FRAGMENTS)) + whole[at + chance.randrange(3) :]
    return whole[: chance.randrange(len(whole) + 1)] if chance.random() < 0.2 else whole


def exact(content: bytes) -> memoryview:
    """Return *content* in memory of its own that ends with it; behind bytes Python puts one more."""
    return memoryview(array("B", content)).toreadonly()


def main(path: str, count: int) -> None:
    """Read *count* texts, some at a time."""
    module, chance, heights = loaded(path), random.Random(7), []  # noqa: S311 - texts, not secrets
    while len(heights) < count:
        some = [text(chance) for _ in range(chance.randrange(1, 9))]
        found, _, _ = module.read([exact(one) for one in some], (b"a", b"unused"), (b"b", b"rare"))
        heights += found
    refused = heights.count(None)
    print(len(heights) - refused, refused)  # noqa: T201 - its answer


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
