"""Secrets at rest: AES-256-GCM under keys that lie elsewhere, each row bound to its owner and its column.

A row is a version byte, the key's id, a nonce and the ciphertext. Owner and column are its associated data, so a row
that is copied to another place does not open there. Several keys may be known: the newest seals, every one opens, and
what an older one opened is sealed again by the newest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, Engine

from harvester.errors import ConfigError, Unsealed
from harvester.log import mask_email
from harvester.state.tables import SECRET, to_seconds

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 4, 12, 16
_HEAD_BYTES = 1 + _ID_BYTES + _NONCE_BYTES
_ADVICE = "`openssl rand -base64 32` makes one; set HARVESTER_VAULT__KEY, or name a file in HARVESTER_VAULT__KEY_FILE"


@dataclass(frozen=True, slots=True)
class _Key:
    material: bytes = field(repr=False)

    @property
    def name(self) -> bytes:
        """Tells keys apart and tells nothing of the key."""
        return hmac.digest(self.material, b"harvester vault key id", hashlib.sha256)[:_ID_BYTES]


class Keyring:
    """The keys of a vault, newest first; in no text, in no repr."""

    def __init__(self, materials: Sequence[bytes]) -> None:
        self._keys = tuple(_Key(material) for material in materials)

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """Read keys of 32 bytes in base64 with commas between; raise `ConfigError` without repeating any of them."""
        materials = []
        for number, part in enumerate(text.split(","), start=1):
            try:
                material = base64.b64decode(part.strip().replace("-", "+").replace("_", "/"), validate=True)
            except (binascii.Error, ValueError):
                raise _bad_key(number, "is no base64") from None
            if len(material) != KEY_BYTES:
                raise _bad_key(number, f"has {len(material)} bytes instead of {KEY_BYTES}")
            materials.append(material)
        return cls(materials)

    def seal(self, plain: bytes, bound_to: bytes) -> bytes:
        """Return *plain* encrypted with the newest key, to be opened in the place *bound_to* only."""
        key, nonce = self._keys[0], secrets.token_bytes(_NONCE_BYTES)
        head = _VERSION + key.name
        return head + nonce + AESGCM(key.material).encrypt(nonce, plain, head + bound_to)

    def open(self, sealed: bytes, bound_to: bytes) -> bytes | None:
        """Return what *sealed* holds, None where no key opens it in the place *bound_to*."""
        head, nonce, rest = sealed[: 1 + _ID_BYTES], sealed[1 + _ID_BYTES : _HEAD_BYTES], sealed[_HEAD_BYTES:]
        if head[:1] != _VERSION or len(rest) < _TAG_BYTES:
            return None
        for key in self._keys:
            if key.name == head[1:]:
                try:
                    return AESGCM(key.material).decrypt(nonce, rest, head + bound_to)
                except InvalidTag:
                    return None
        return None

    def newest_sealed(self, sealed: bytes) -> bool:
        """Tell whether the newest key sealed it."""
        return sealed[1 : 1 + _ID_BYTES] == self._keys[0].name

    def mark(self, purpose: str, text: str) -> str:
        """Return a mark that only a holder of the newest key can make for *text* and this *purpose*."""
        return _mark(self._keys[0], purpose, text)

    def marked(self, purpose: str, text: str, mark: str) -> bool:
        """Tell whether *mark* was made for *text* by one of the keys."""
        given = mark.encode("utf-8", "replace")
        return any(hmac.compare_digest(_mark(key, purpose, text).encode(), given) for key in self._keys)


def _mark(key: _Key, purpose: str, text: str) -> str:
    own = hmac.digest(key.material, f"harvester {purpose}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(hmac.digest(own, text.encode(), hashlib.sha256)[:24]).decode()


def _bad_key(number: int, what: str) -> ConfigError:
    right = f"keys of {KEY_BYTES} bytes in base64, newest first, commas between: {_ADVICE}"
    return ConfigError(
        f"vault.key: key {number} {what}. Needed are {right}", problems={"vault.key": f"must be {right}"}
    )


def no_key() -> ConfigError:
    """Say that owners' tokens cannot be kept without a key, and how to make one."""
    return ConfigError(
        f'sma.grant = "code" keeps a token of each owner, and vault.key, which encrypts them, is not set: {_ADVICE}. '
        "Keep the key apart from the ledger: who has both has the tokens",
        problems={"vault.key": "must be set for the code grant"},
    )


class Vault:
    """Secrets by owner and name, in the ledger's database."""

    def __init__(self, engine: Engine, keyring: Keyring, wall: Callable[[], datetime]) -> None:
        """*wall* answers aware UTC."""
        self._engine = engine
        self._keyring = keyring
        self._wall = wall

    def put(self, owner: str, name: str, secret: str) -> None:
        """Keep *secret*, on the disk when this returns; raises `LedgerError`."""
        with self._durable() as db:
            self._write(db, owner, name, secret)

    def swap(self, owner: str, name: str, secret: str, *, instead_of: str) -> bool:
        """Keep *secret* if *instead_of* is what is kept now, on the disk when this returns; tell whether it was."""
        with self._durable() as db:
            db.exec_driver_sql("BEGIN IMMEDIATE")  # the reading must belong to the writing
            row = self._row(db, owner, name)
            if row is None or self._opened(owner, name, row) != instead_of:
                return False
            self._write(db, owner, name, secret)
        return True

    def get(self, owner: str, name: str) -> str | None:
        """Return what is kept, None where nothing is; raises `Unsealed` where no key opens it."""
        with self._engine.connect() as db:
            row = self._row(db, owner, name)
        if row is None:
            return None
        secret = self._opened(owner, name, row)
        if not self._keyring.newest_sealed(row):
            self._seal_again(owner, name, row, secret)
        return secret

    def owners(self, name: str) -> list[str]:
        """Return who has a secret of that name, in the order of their names."""
        query = sa.select(SECRET.c.owner).where(SECRET.c.name == name).order_by(SECRET.c.owner)
        with self._engine.connect() as db:
            return list(db.scalars(query))

    def forget(self, owner: str) -> None:
        """Delete all secrets of *owner*."""
        with self._durable() as db:
            db.execute(sa.delete(SECRET).where(SECRET.c.owner == owner))

    def _row(self, db: Connection, owner: str, name: str) -> bytes | None:
        query = sa.select(SECRET.c.sealed).where(SECRET.c.owner == owner, SECRET.c.name == name)
        found: bytes | None = db.scalar(query)
        return found

    def _opened(self, owner: str, name: str, sealed: bytes) -> str:
        plain = self._keyring.open(sealed, _place(owner, name))
        if plain is None:
            raise Unsealed(
                f"the {name} of {mask_email(owner)} does not open: its key is not among vault.key, or its row was "
                "changed or moved. Put the old key behind the new one in vault.key, with a comma; where it is lost, "
                "the owner has to connect again"
            )
        return plain.decode()

    def _write(self, db: Connection, owner: str, name: str, secret: str) -> None:
        facts = {
            "sealed": self._keyring.seal(secret.encode(), _place(owner, name)),
            "sealed_at": to_seconds(self._wall()),
        }
        new = insert(SECRET).values(owner=owner, name=name, **facts)
        db.execute(new.on_conflict_do_update(index_elements=["owner", "name"], set_=facts))

    def _seal_again(self, owner: str, name: str, row: bytes, secret: str) -> None:
        """Seal with the newest key, unless somebody wrote meanwhile."""
        facts = {
            "sealed": self._keyring.seal(secret.encode(), _place(owner, name)),
            "sealed_at": to_seconds(self._wall()),
        }
        same = (SECRET.c.owner == owner, SECRET.c.name == name, SECRET.c.sealed == row)
        with self._durable() as db:
            db.execute(sa.update(SECRET).where(*same).values(facts))

    @contextmanager
    def _durable(self) -> Iterator[Connection]:
        """Commit at the end so that a power cut does not undo it, which the rest of the ledger can do without."""
        with self._engine.connect() as db:
            db.exec_driver_sql("PRAGMA synchronous=FULL")
            try:
                yield db
                db.commit()
            finally:
                db.rollback()
                db.exec_driver_sql("PRAGMA synchronous=NORMAL")


def _place(owner: str, name: str) -> bytes:
    """Return the associated data: with lengths, so that no two places read alike."""
    parts = (owner.encode(), name.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
