"""The vault: what is kept opens only with its key and only in its place, and keys can be exchanged."""

import base64
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from harvester.errors import ConfigError, Unsealed
from harvester.state.database import connect
from harvester.state.vault import Keyring, Vault, _place, no_key

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
NOW = datetime(2026, 5, 1, tzinfo=UTC)
NAMES = st.text(max_size=20)


def vault(engine: Engine, *materials: bytes) -> Vault:
    """Open the vault with these keys."""
    return Vault(engine, Keyring(materials), lambda: NOW)


def rows(engine: Engine) -> dict[tuple[str, str], bytes]:
    """Return what lies on the disk."""
    with engine.connect() as db:
        return {(o, n): s for o, n, s in db.exec_driver_sql("SELECT owner, name, sealed FROM secret")}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Make a ledger."""
    made = connect(tmp_path / "ledger.db")
    yield made
    made.dispose()


def test_what_is_put_is_got_and_lies_there_sealed(engine: Engine) -> None:
    """The secret comes back, and its text is nowhere in the row."""
    kept = vault(engine, NEW)
    kept.put("ann", "refresh token", "s3cret-s3cret")

    assert kept.get("ann", "refresh token") == "s3cret-s3cret"
    assert kept.get("bob", "refresh token") is None
    assert kept.owners("refresh token") == ["ann"]
    (sealed,) = rows(engine).values()
    assert b"s3cret" not in sealed
    assert len(sealed) == 1 + 4 + 12 + len("s3cret-s3cret") + 16


def test_a_row_copied_to_another_owner_does_not_open(engine: Engine) -> None:
    """Who can write to the database cannot give one owner's token to another, nor another column's."""
    kept = vault(engine, NEW)
    kept.put("ann", "refresh token", "s3cret")
    with engine.begin() as db:
        db.exec_driver_sql("INSERT INTO secret SELECT 'bob', name, sealed, sealed_at FROM secret")
        db.exec_driver_sql("INSERT INTO secret SELECT owner, 'other', sealed, sealed_at FROM secret WHERE owner='ann'")

    with pytest.raises(Unsealed, match="changed or moved"):
        kept.get("bob", "refresh token")
    with pytest.raises(Unsealed):
        kept.get("ann", "other")
    assert kept.get("ann", "refresh token") == "s3cret"


@given(plain=st.binary(max_size=50), place=st.binary(max_size=20), at=st.integers(0), bit=st.integers(0, 7))
def test_one_changed_bit_anywhere_is_noticed(plain: bytes, place: bytes, at: int, bit: int) -> None:
    """Version, key id, nonce, ciphertext or tag: none can be changed."""
    ring = Keyring([NEW])
    sealed = bytearray(ring.seal(plain, place))
    assert ring.open(bytes(sealed), place) == plain
    sealed[at % len(sealed)] ^= 1 << bit

    assert ring.open(bytes(sealed), place) is None


@given(first=st.tuples(NAMES, NAMES), second=st.tuples(NAMES, NAMES))
def test_no_two_places_read_alike(first: tuple[str, str], second: tuple[str, str]) -> None:
    """Lengths keep owner and column apart, whatever they are made of."""
    assert (_place(*first) == _place(*second)) == (first == second)


@given(junk=st.binary(max_size=60))
def test_junk_opens_as_nothing(junk: bytes) -> None:
    """A cut or invented row is no reason to fail with anything but our error."""
    assert Keyring([NEW]).open(junk, b"") is None


def test_a_new_key_takes_over_as_rows_are_read(engine: Engine) -> None:
    """The newest key seals, the old one opens; what was read once needs the old one no more."""
    vault(engine, OLD).put("ann", "refresh token", "first")
    vault(engine, OLD).put("bob", "refresh token", "second")
    both = vault(engine, NEW, OLD)

    assert both.get("ann", "refresh token") == "first"

    assert vault(engine, NEW).get("ann", "refresh token") == "first"
    with pytest.raises(Unsealed, match="Put the old key behind the new one"):
        vault(engine, NEW).get("bob", "refresh token")
    with pytest.raises(Unsealed):
        vault(engine, OLD).get("ann", "refresh token")


def test_reading_with_the_newest_key_writes_nothing(engine: Engine) -> None:
    """Only a row of an older key is sealed again."""
    kept = vault(engine, NEW, OLD)
    kept.put("ann", "refresh token", "s3cret")
    before = rows(engine)
    kept.get("ann", "refresh token")

    assert rows(engine) == before


def test_an_owner_without_a_key_is_named_masked(engine: Engine) -> None:
    """The error says whose, and what to do, and neither key nor address in full."""
    vault(engine, OLD).put("ann@example.org", "refresh token", "s3cret")

    with pytest.raises(Unsealed) as caught:
        vault(engine, NEW).get("ann@example.org", "refresh token")

    assert "a***@example.org" in str(caught.value)
    assert "has to connect again" in str(caught.value)
    assert "ann@" not in str(caught.value)


def test_a_swap_takes_place_once(engine: Engine) -> None:
    """Of two who rotate the same token only one is kept, and nobody writes over a newer one."""
    kept = vault(engine, NEW)
    kept.put("ann", "refresh token", "1")

    assert kept.swap("ann", "refresh token", "2", instead_of="1") is True
    assert kept.swap("ann", "refresh token", "3", instead_of="1") is False
    assert kept.swap("bob", "refresh token", "3", instead_of="1") is False
    assert kept.get("ann", "refresh token") == "2"
    assert kept.owners("refresh token") == ["ann"]


def test_what_is_forgotten_is_gone(engine: Engine) -> None:
    """Nothing of an owner stays."""
    kept = vault(engine, NEW)
    kept.put("ann", "refresh token", "1")
    kept.put("bob", "refresh token", "2")
    kept.forget("ann")

    assert rows(engine).keys() == {("bob", "refresh token")}


def test_a_token_survives_a_power_cut(engine: Engine) -> None:
    """The write of a token is synchronous; the connection goes back to the ledger's usual way."""
    statements: list[str] = []

    sa.event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2].split("(")[0].strip()))
    sa.event.listen(engine, "commit", lambda _db: statements.append("COMMIT"))
    vault(engine, NEW).put("ann", "refresh token", "1")

    order = [s for s in statements if s.startswith(("PRAGMA", "INSERT", "COMMIT"))]
    assert order == ["PRAGMA synchronous=FULL", "INSERT INTO secret", "COMMIT", "PRAGMA synchronous=NORMAL"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "key 1 has 0 bytes instead of 32"),
        ("not base64!", "key 1 is no base64"),
        (base64.b64encode(b"short").decode(), "key 1 has 5 bytes"),
        (f"{base64.b64encode(NEW).decode()},hunter2hunter2", "key 2"),
        (f"{base64.b64encode(NEW).decode()},", "key 2 has 0 bytes"),
        ("ü", "key 1 is no base64"),
    ],
)
def test_a_key_that_is_none_is_refused_without_being_repeated(text: str, told: str) -> None:
    """The error names the setting, the key's number and how to make one."""
    with pytest.raises(ConfigError, match=told) as caught:
        Keyring.parse(text)

    assert "vault.key" in caught.value.problems
    assert "openssl rand -base64 32" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert base64.b64encode(NEW).decode() not in str(caught.value)


def test_keys_are_read_newest_first_in_either_alphabet(engine: Engine) -> None:
    """Blanks and the alphabet for addresses do no harm."""
    first, second = os.urandom(32), os.urandom(32)
    text = f" {base64.urlsafe_b64encode(first).decode()} , {base64.b64encode(second).decode()}\n"
    Vault(engine, Keyring.parse(text), lambda: NOW).put("ann", "refresh token", "1")

    assert vault(engine, first).get("ann", "refresh token") == "1"


def test_no_key_at_all_is_a_matter_of_configuration() -> None:
    """The error says which variable to set, and with what."""
    assert "HARVESTER_VAULT__KEY" in str(no_key())
    assert no_key().exit_code == 2


def test_keys_are_in_no_text() -> None:
    """Neither repr nor str of what holds a key shows it."""
    ring = Keyring([NEW])

    assert repr(NEW)[2:-1] not in repr(ring) + str(ring) + repr(ring._keys)


def test_marks_are_for_one_text_and_one_purpose() -> None:
    """A mark of an older key holds; one for another text, purpose or key does not."""
    mark = Keyring([OLD]).mark("connect link", "ann")

    assert Keyring([NEW, OLD]).marked("connect link", "ann", mark)
    assert not Keyring([NEW]).marked("connect link", "ann", mark)
    assert not Keyring([OLD]).marked("connect link", "bob", mark)
    assert not Keyring([OLD]).marked("other", "ann", mark)
    assert not Keyring([OLD]).marked("connect link", "ann", "ü\ud800")


def test_a_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    """The file and what SQLite lays beside it have mode 0600, whatever the umask allows."""
    before = os.umask(0)
    try:
        engine = connect(tmp_path / "ledger.db")
        vault(engine, NEW).put("ann", "refresh token", "1")
        modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in tmp_path.iterdir()}
        engine.dispose()
    finally:
        os.umask(before)

    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


def test_a_damaged_row_is_no_crash(engine: Engine, tmp_path: Path) -> None:
    """A row cut short is told as one that does not open."""
    kept = vault(engine, NEW)
    kept.put("ann", "refresh token", "1")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db, db:
        db.execute("UPDATE secret SET sealed = x'01'")

    with pytest.raises(Unsealed):
        kept.get("ann", "refresh token")
