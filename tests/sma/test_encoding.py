"""Compressed bodies: what they stand for, how much of it, and what is refused."""

import gzip
import importlib
import sys
import zlib
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.sma import encoding
from harvester.sma.encoding import unpack

PLENTY = 1 << 20


def bare(body: bytes) -> bytes:
    """Return *body* as deflate without a wrapping, as some servers send it."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


WAYS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "": bytes, "identity": bytes}


@pytest.fixture(params=["fast", "standard"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module with the library that is installed, and with the standard one."""
    if request.param == "fast":
        return encoding
    monkeypatch.setitem(sys.modules, "isal", None)
    spec = importlib.util.find_spec("harvester.sma.encoding")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module._library is zlib
    return module


@given(body=st.binary(max_size=5000), way=st.sampled_from([*WAYS, "GZIP "]))
def test_what_was_compressed_comes_back(body: bytes, way: str) -> None:
    """By every way that is asked for, however it is spelled; at the bound, and not beyond."""
    content = WAYS[way.strip().lower()](body)

    found = unpack(content, way, len(body))

    assert found.body == body
    assert found.gzip == (content if "gzip" in way.lower() else None)
    if body:
        with pytest.raises(ValueError, match="more than"):
            unpack(content, way, len(body) - 1)


@given(body=st.binary(max_size=2000), more=st.binary(max_size=2000), padding=st.sampled_from([b"", bytes(7)]))
def test_several_members_are_one_body(body: bytes, more: bytes, padding: bytes) -> None:
    """They are put together, padding is left out, and the whole is bounded; it is not kept as it came."""
    content = gzip.compress(body) + gzip.compress(more) + padding

    found = unpack(content, "gzip", len(body + more))

    assert (found.body, found.gzip) == (body + more, None)
    if more:
        with pytest.raises(ValueError, match="more than"):
            unpack(content, "gzip", len(body + more) - 1)


def test_members_without_end_are_refused() -> None:
    """Each is a copy of the rest, so that many of them would keep the loop busy; a few hundred bytes do no harm."""
    with pytest.raises(ValueError, match="more than 100 members"):
        unpack(gzip.compress(b"") * 40_000, "gzip", PLENTY)
    assert unpack(gzip.compress(b"x") * 100, "gzip", PLENTY).body == b"x" * 100


def test_deflate_may_come_bare() -> None:
    """Without the wrapping that RFC 1950 asks for."""
    assert unpack(bare(b"x" * 99), "deflate", 99).body == b"x" * 99


def test_either_library_says_the_same(either: ModuleType) -> None:
    """With ISA-L and without: what is good, too large, cut short, broken, and of an encoding that nobody asked for."""
    whole = gzip.compress(b"abc" * 1000)
    assert either.unpack(whole, "gzip", 3000).body == b"abc" * 1000
    with pytest.raises(ValueError, match="more than 2999 bytes"):
        either.unpack(whole, "gzip", 2999)
    for content, way in [
        (whole[:-9], "gzip"),
        (whole[:12], "gzip"),
        (whole[:-8] + bytes(8), "gzip"),
        (b"{}", "gzip"),
        (b"{}", "deflate"),
        (b"{}", "br"),
        (whole, "gzip, gzip"),
    ]:
        with pytest.raises(ValueError, match=r"too soon|decompressed|not asked for"):
            either.unpack(content, way, PLENTY)


def test_a_bomb_is_not_unpacked() -> None:
    """A gigabyte in a megabyte costs what is allowed and no more."""
    stream = zlib.compressobj(wbits=31)
    bomb = b"".join(stream.compress(bytes(1 << 20)) for _ in range(1024)) + stream.flush()

    with pytest.raises(ValueError, match=str(PLENTY)):
        unpack(bomb, "gzip", PLENTY)
