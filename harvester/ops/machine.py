"""What can be checked without asking anybody: disk, rights, lake and ledger, files with secrets, zones, keys, code."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from harvester import config as settings
from harvester.clock import UnknownZone, zone
from harvester.compose import readable
from harvester.config import Config
from harvester.config.sources import file_variables, from_toml, variable, variables
from harvester.errors import ConfigError, LakeError, LedgerError
from harvester.lake.columns import COMPILED
from harvester.lake.lake import read_identity
from harvester.lake.layout import Places
from harvester.lake.lock import Holder, holders
from harvester.ops.finding import Finding, ok, together, warning, wrong
from harvester.show import size
from harvester.state.vault import Keyring

LITTLE = 256 * 2**20
"""Bytes; with less a file of a table may not fit beside the one that it replaces."""
FEW_INODES = 0.05
"""Share of free files of a file system below which lakes of many small files run into its end."""
_ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")


def time_zones() -> Finding:
    """Check that the zones of the package tzdata, the only source of them, can be read."""
    name = "time zones"
    try:
        for each in _ZONES:
            zone(each)
        version = metadata.version("tzdata")
    except (UnknownZone, metadata.PackageNotFoundError) as error:
        return wrong(name, f"the package tzdata is not whole ({error})", "Install the harvester anew: `pip install`.")
    return ok(name, f"tzdata {version}")


def reader() -> Finding:
    """Check that the reader of answers is compiled."""
    if COMPILED:
        return ok("reader", "answers are read by compiled code")
    remedy = (
        "Install a C compiler and Python's headers (Debian: gcc, python3-dev), then the harvester anew: `pip install`."
    )
    return warning("reader", "answers are read by Python alone, which takes twenty times as long", remedy)


def disk(config: Config) -> Finding:
    """Check free space and free files where lake and ledger are, or will be."""
    folders = {"lake": nearest(config.lake.root), "ledger": nearest(config.ledger.path)}
    if _device(folders["lake"]) == _device(folders["ledger"]):
        del folders["ledger"]
    return together("disk", (_free(what, folder, config.alerts.disk_free_percent) for what, folder in folders.items()))


def _device(folder: Path) -> int:
    return folder.stat().st_dev


def _free(what: str, folder: Path, least: float) -> Finding:
    usage, files = shutil.disk_usage(folder), os.statvfs(folder)
    share = 100 * usage.free / max(usage.total, 1)
    found = f"{what}: {size(usage.free)} of {size(usage.total)} free ({share:.0f} %)"
    room = f"Make room on the disk of {folder}, or move the {what} to a larger one."
    if usage.free < LITTLE:
        return wrong("disk", found, room)
    if share < least:
        return warning("disk", f"{found}, less than alerts.disk_free_percent", room)
    # file systems that make inodes as they need them say 0
    if files.f_files and files.f_favail < FEW_INODES * files.f_files:
        few = f"{found}, but only {files.f_favail:,} of {files.f_files:,} files"
        return warning("disk", few, f"{room} A larger lake.plants_per_file makes fewer files in a new lake.")
    return ok("disk", found)


def nearest(path: Path) -> Path:
    """Return *path*, or the first folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def permissions(config: Config) -> Finding:
    """Check that lake and ledger can be written, by writing a file without a name beside them."""
    remedy = "Give the folder to the user that the harvester runs as, and mount its disk for writing."
    places = {"lake": config.lake.root, "ledger": config.ledger.path.parent}
    found = [_writable(what, folder, remedy) for what, folder in places.items()]
    if config.ledger.path.exists():
        try:
            with config.ledger.path.open("r+b"):
                found.append(ok("permissions", "the ledger's file can be written"))
        except OSError as error:
            found.append(wrong("permissions", f"{config.ledger.path}: {error.strerror}", remedy))
    return together("permissions", found)


def _writable(what: str, folder: Path, remedy: str) -> Finding:
    there = nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"harvester")
    except OSError as error:
        return wrong("permissions", f"{what}: nothing can be written to {there} ({error.strerror})", remedy)
    verb = "can be written" if there == folder else f"can be made below {there}"
    return ok("permissions", f"{what}: {folder} {verb}")


def writers(config: Config) -> list[Holder]:
    """Return who writes to the lake now; nobody where that cannot be told."""
    try:
        return holders(Places(config.lake.root))
    except LakeError:
        return []


def lake_and_ledger(config: Config) -> Finding:
    """Check that both are of one pair, of the configured cloud, and not of a newer harvester."""
    name, root = "lake and ledger", config.lake.root
    host = urlsplit(config.sma.monitoring_url).netloc
    try:
        identity = read_identity(Places(root))
        if identity is not None and identity.host != host:
            return wrong(
                name,
                f"{root} holds the plants of {identity.host}, but the configuration names {host}",
                "Set lake.root and ledger.url to a folder of their own for each cloud.",
            )
        if not config.ledger.path.exists():
            if identity is None:
                return ok(name, f"none yet: the first run makes {root} and {config.ledger.path}")
            return warning(
                name,
                f"{root} is there, its ledger {config.ledger.path} is not",
                "`harvester ledger rebuild` makes it from its newest copy; without, every day is asked again.",
            )
        with readable(config) as stores:
            held = ", ".join(str(holder) for holder in writers(config))
            known = len(stores.inventory.plants())
    except (LakeError, LedgerError) as error:
        if "older harvester" in str(error):  # what an upgrade leaves behind until the first command that writes
            return warning(name, str(error), "Run the harvester once.")
        return wrong(name, str(error), "`harvester ledger check` and `harvester lake check` tell more.")
    return ok(name, f"a pair, {known:,} plants known" + (f"; written by {held}" if held else ""))


def secret_files(environ: Mapping[str, str], file: Path | None) -> Finding:
    """Check that what holds a secret is closed to everybody else on this machine."""
    name = "secret files"
    given = variables(environ, settings.KEYS)
    files = {each: given[each] for each in file_variables(settings.SECRETS) if each in given}
    found = [_closed(f"the file that {each} names", Path(path)) for each, path in files.items()]
    found += [_closed(str(file), file)] if file is not None and _holds_a_secret(file) else []
    if not found:
        plain = [each for each in map(variable, settings.SECRETS) if each in given]
        return ok(name, f"none; {', '.join(plain)} given in the environment" if plain else "none")
    return together(name, found)


def _holds_a_secret(file: Path) -> bool:
    try:
        return any(key in settings.SECRETS for key in from_toml(file))
    except ConfigError:
        return False


def _closed(what: str, path: Path) -> Finding:
    # The path stays unsaid for a variable: it may be the secret itself, put into the wrong place.
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        return wrong("secret files", f"{what} cannot be read ({error.strerror})", "Correct the path or the rights.")
    if mode & stat.S_IRWXO:
        return warning("secret files", f"{what} is open to everybody (mode {mode:04o})", "Close it: `chmod 600`.")
    return ok("secret files", f"{what} has mode {mode:04o}")


def vault(config: Config) -> Finding:
    """Check the key that the code grant's tokens are encrypted with."""
    key = config.vault.key
    if key is None:
        if config.sma.grant == "custom":
            return ok("vault", "no key: the custom grant keeps no tokens")
        return wrong(
            "vault",
            "no key, and the code grant has tokens to keep",
            "Make one with `openssl rand -base64 32` and set HARVESTER_VAULT__KEY, or the same with _FILE. Keep a copy "
            "of it apart from the ledger's: without it every owner has to connect again.",
        )
    try:
        Keyring.parse(key.get_secret_value())
    except ConfigError as error:
        return wrong("vault", str(error), "Make a key with `openssl rand -base64 32`.")
    return ok("vault", "the key is well formed")
