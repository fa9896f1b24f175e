"""`harvester init`: a commented configuration and, where wanted, a file with the secrets; never in another's place."""

from __future__ import annotations

import base64
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from harvester import show
from harvester.config import load
from harvester.errors import ConfigError, LakeError
from harvester.lake.atomic import replace_with
from harvester.ops.commented import commented
from harvester.ops.interview import Person, Values, answers
from harvester.report import OK

SECRETS_FILE = "secrets.env"
_PLAIN = re.compile(r"[A-Za-z0-9_./+=@:-]+")


def initialise(file: Path, given: Mapping[str, str], person: Person | None, *, force: bool) -> int:
    """Write a configuration to *file* and say what comes next; *given* are answers by key.

    Raises `ConfigError` where *file* exists and is not to be replaced, or an answer is missing or wrong.
    """
    if file.exists() and not force:
        raise ConfigError(f"{file} exists already: name another file, or replace it with --force")
    values = answers(file, given, person)
    text = commented(values)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")
        load(temporary, environ={})  # what cannot be read back never gets its name

    _replace(file, write, mode=0o644)
    show.tell(f"Wrote {file}.")
    kept = _keep_secrets(file, values, person, force=force)
    _next_steps(file, values, kept)
    return OK


def _replace(file: Path, write: Callable[[Path], object], *, mode: int) -> None:
    try:
        replace_with(file, write, mode=mode)
    except LakeError as error:
        cause = error.__cause__
        reason = cause.strerror if isinstance(cause, OSError) else error
        if isinstance(cause, FileExistsError | NotADirectoryError):
            reason = f"{file.parent} is no folder"
        raise ConfigError(f"{file} cannot be written: {reason}") from error


def _keep_secrets(file: Path, values: Values, person: Person | None, *, force: bool) -> Path | None:
    """Offer to keep the secrets in a file of their own, readable to its owner only; return it where it was made."""
    place = file.absolute().parent / SECRETS_FILE
    if person is None or values["sma.environment"] == "local":
        return None
    if place.exists() and not force:
        show.say(f"{place} exists already and is left as it is.")
        return None
    wish = person.ask(f"Keep client id and secret in {place}, mode 0600? yes or no", "no")
    if wish.strip().lower() not in {"y", "yes"}:
        return None
    typed = {
        "HARVESTER_SMA__CLIENT_ID": person.whisper("Client id (not shown)"),
        "HARVESTER_SMA__CLIENT_SECRET": person.whisper("Client secret (not shown)"),
    }
    if values["sma.grant"] == "code":
        typed["HARVESTER_VAULT__KEY"] = base64.b64encode(secrets.token_bytes(32)).decode()
    lines = [f"{name}={_quoted(value.strip())}\n" for name, value in typed.items() if value.strip()]
    _replace(place, lambda temporary: temporary.write_text("".join(lines), encoding="utf-8"), mode=0o600)
    show.tell(f"Wrote {place}.")
    return place


def _quoted(text: str) -> str:
    """Quote as shells and systemd read it; plain text is left plain, as a container's --env-file wants it."""
    return text if _PLAIN.fullmatch(text) else shlex.quote(text)


def _next_steps(file: Path, values: Values, kept: Path | None) -> None:
    """Print the commands that lead from the file to a running harvester."""
    command = f"harvester --config {shlex.quote(str(file))}"
    show.tell("\nNext:")
    for number, step in enumerate(_steps(command, values, kept), start=1):
        show.tell(f"  {number}. {step}")


def _steps(command: str, values: Values, kept: Path | None) -> list[str]:
    local, by_mail = values["sma.environment"] == "local", values["sma.grant"] == "custom"
    steps = []
    if local:
        steps.append("harvester sandbox   (in another terminal: the local SMA cloud)")
    elif kept is not None:
        steps.append(f"set -a; . {shlex.quote(str(kept))}; set +a")
    else:
        steps.append(
            "Set HARVESTER_SMA__CLIENT_ID and HARVESTER_SMA__CLIENT_SECRET, or the same with _FILE to name files."
        )
        if not by_mail:
            steps.append('Set HARVESTER_VAULT__KEY: export HARVESTER_VAULT__KEY="$(openssl rand -base64 32)"')
    steps.append(f"{command} doctor")
    if by_mail:
        steps.append(f"{command} consent request")
        if local:
            steps.append(f"{command} consent simulate   (plays the owner)")
        steps.append(f"{command} run")
    else:
        steps.append(f"{command} daemon   (and send owners to {values['web.public_url']})")
    return steps
