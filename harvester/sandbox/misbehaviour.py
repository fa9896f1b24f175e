"""Applies the faults to requests and answers; the rows' own faults are applied where rows are written."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from harvester.sandbox.chance import roll
from harvester.sandbox.endpoints import Endpoint
from harvester.sandbox.exchange import Answer, Body, Call, Ending, json_answer, refusal
from harvester.sandbox.faults import Faults
from harvester.sandbox.plants import Plant

UNAUTHORIZED: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}
TOO_MANY = {"message": "Too Many Requests", "code": "429"}
"""Body of a 429 (assumption: like every other refusal)."""
PAGE = b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body>Back soon.</body></html>\n"
STATUSES = ("http_403", "http_404", "http_408", "http_425", "http_500", "http_502", "http_503", "http_504")
BEFORE = ("hang", "http_308", "circle", "elsewhere", "http_401", "http_429", "http_429_bare", *STATUSES)
ENDINGS: Mapping[str, Ending] = {name: name for name in ("reset", "stall", "drip", "endless", "bomb", "chunks")}
AFTER = ("html", "empty_body", "cut_json", "octets", "wrong_type", *ENDINGS)
OTHER_HOST = "http://elsewhere.invalid"
"""Where nobody answers: a name that is reserved for that (RFC 2606)."""
BESIDE = (("oauth2", "token"), ("oauth2", "v2", "bc-authorize"))
"""What lies beside the monitoring API and is spoiled with `everywhere`: where tokens and consents come from."""
ENVELOPE = {"no_resolution": "resolution", "no_set_type": "setType"}


class Misbehaviour:
    """Decides by seed, URL and attempt, so that a repeated request gets another chance."""

    def __init__(self, faults: Faults, seed: int, struck: Counter[str]) -> None:
        """Note in *struck* which faults had an effect, by name."""
        self._faults = faults
        self._seed = seed
        self._struck = struck
        self._before = [name for name in BEFORE if getattr(faults, name)]
        self._after = [name for name in AFTER if getattr(faults, name)]
        self._envelope = [name for name in ENVELOPE if getattr(faults, name)]
        self._failing = {
            key.casefold(): int(status) for key, _, status in (entry.rpartition(":") for entry in faults.failing)
        }
        self._attempts: Counter[str] = Counter()
        self._only = tuple(text.casefold() for text in faults.only)

    def attempt(self, call: Call) -> int:
        """Count this request and return how often its URL was asked before."""
        if not (self._before or self._after or self._envelope or self._faults.empty_plants):
            return 0
        self._attempts[call.url] += 1
        return self._attempts[call.url] - 1

    def reaches(self, words: list[str]) -> bool:
        """Say whether the rates hold for an address beside the monitoring API, given in lower case."""
        return self._faults.everywhere and any(words[: len(base)] == [*base] for base in BESIDE)

    def instead(self, call: Call, place: Endpoint | None, attempt: int) -> Answer | None:
        """Return what comes instead of the answer, or None; beside the monitoring API there is no *place*."""
        status = self._fails(place)
        if status is not None:
            return self._noted("failing", refusal(status))
        for name in self._before:
            if self._strikes(name, call, attempt):
                answer = _instead(name, call)
                if answer is not None:
                    return self._noted(name, answer)
        if place is not None and place.kind == "plants" and self._strikes("empty_plants", call, attempt):
            return self._noted("empty_plants", json_answer({"plants": []}))
        return None

    def _fails(self, place: Endpoint | None) -> int | None:
        """Return the status with which the values of a series always fail, None for others."""
        if place is None or place.kind != "values":
            return None
        keys = (place.set, place.id, f"{place.id}/{place.set}")
        return next((self._failing[key.casefold()] for key in keys if key.casefold() in self._failing), None)

    def dropped(self, call: Call, place: Endpoint, attempt: int) -> tuple[str, ...]:
        """Return the envelope fields that this answer lacks; only values have any."""
        if place.kind != "values":
            return ()
        names = [name for name in self._envelope if self._strikes(name, call, attempt)]
        self._struck.update(names)
        return tuple(ENVELOPE[name] for name in names)

    def spoiled(self, call: Call, answer: Answer, attempt: int) -> Answer:
        """Return the answer as it arrives."""
        if answer.status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            return answer
        name = next((name for name in self._after if self._strikes(name, call, attempt)), None)
        self._struck.update([name] if name else [])
        if name == "html":
            answer = replace(answer, body=Body(PAGE), content_type="text/html; charset=utf-8")
        elif name == "empty_body":
            answer = replace(answer, body=Body())
        elif name == "cut_json":
            plain = answer.body.plain
            answer = replace(answer, body=Body(plain[: len(plain) * 2 // 3]))
        elif name == "wrong_type":
            answer = replace(answer, content_type="text/plain; charset=utf-8")
        elif name == "octets":
            plain = answer.body.plain
            answer = replace(answer, body=Body(b"\xff\x00".join((plain[:10], plain[10:]))))
        elif name is not None:
            answer = replace(answer, ending=ENDINGS[name])
        return answer

    def vanished(self, plant: Plant) -> bool:
        """Say whether only the list knows the plant."""
        gone = roll(self._seed, "vanishing_plants", plant.key) < self._faults.vanishing_plants
        self._struck.update(["vanishing_plants"] if gone else [])
        return gone

    def _noted(self, name: str, answer: Answer) -> Answer:
        """Count a fault that struck and return the *answer* that it gives."""
        self._struck[name] += 1
        return answer

    def _strikes(self, name: str, call: Call, attempt: int) -> bool:
        rate: float = getattr(self._faults, name)
        url = call.url
        if self._only and not any(_named(text, url.casefold()) for text in self._only):
            return False
        return roll(self._seed, name, url, attempt) < rate


def _named(text: str, url: str) -> bool:
    """Say whether *url* contains *text*, at its end where the text has a dollar sign there."""
    return url.endswith(text[:-1]) if text.endswith("$") else text in url


def _instead(name: str, call: Call) -> Answer | None:
    """Return the answer of a fault that replaces it."""
    if name == "hang":
        return Answer(ending="hang", status=0)
    if name in {"http_308", "circle", "elsewhere"}:
        return _redirect(name, call)
    if name == "http_401":
        return unauthorized(empty=False)
    if name in {"http_429", "http_429_bare"}:
        return replace(json_answer(TOO_MANY, 429), headers={"Retry-After": "1"} if name == "http_429" else {})
    return refusal(int(name.removeprefix("http_")))


def _redirect(name: str, call: Call) -> Answer | None:
    """Name another address: the other spelling, the same again, or one of another host."""
    origin, url = OTHER_HOST if name == "elsewhere" else call.origin, call.url
    if name == "http_308":
        prefix = "/monitoring"
        if not url.casefold().startswith(prefix):
            return None
        url = url[len(prefix) :]
    return Answer(status=308, headers={"Location": f"{origin}{url}"})


def unauthorized(*, empty: bool) -> Answer:
    """Refuse for want of a good token."""
    return replace(Answer(status=401) if empty else refusal(401), headers=UNAUTHORIZED)
