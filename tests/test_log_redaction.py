"""Redaction: secrets and addresses never reach a line of the log."""

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from harvester import log

HUSH = "hunter2-hunter2"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
TEXTS = st.text("aé@.\ud800\0", max_size=9)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=5) | TEXTS


class TestRedaction:
    """Secrets and addresses never reach a line."""

    @pytest.mark.parametrize(
        "key",
        [
            "authorization",
            "Authorization",
            "token",
            "refresh_token",
            "accessToken",
            "secret",
            "client_secret",
            "clientSecret",
            "password",
            "client_id",
            "Set-Cookie",
            "credentials",
        ],
    )
    def test_values_of_telling_keys(self, key: str) -> None:
        """Whatever the value is, and however deep it lies."""
        event = log.redact(None, "info", {key: HUSH, "deep": {"list": [{key: {"value": HUSH}}]}})

        assert event[key] == "***"
        assert event["deep"] == {"list": [{key: "***"}]}

    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("owner@example.org", "o***@example.org"),
            ("<First.Last+tag@mail.example.co.uk>,", "<F***@mail.example.co.uk>,"),
            ("from a@b.org to müller@example.org", "from a***@b.org to m***@example.org"),
            ("?login_hint=owner%40example.org&x=1", "?login_hint=o***%40example.org&x=1"),
            ("apiTestUser@apiSandbox.com", "a***@apiSandbox.com"),
            ("no address: @, a@, @b.org, harvester@1", "no address: @, a@, @b.org, harvester@1"),
        ],
    )
    def test_addresses(self, text: str, masked: str) -> None:
        """One letter and the domain are enough to know whose it is."""
        assert log.mask_email(text) == masked

    @pytest.mark.parametrize(
        "text",
        [
            f"Authorization: Bearer {HUSH}",
            f"authorization: bearer {JWT}",
            f"Basic {HUSH}==",
            f"got {JWT} back",
            f"grant_type=x&client_secret={HUSH}&refresh_token={HUSH}",
            f'{{"access_token": "{HUSH}", "expires_in": 300}}',
            f"{{'refresh_token': '{HUSH}'}}",
            f"http://127.0.0.1/callback?code={HUSH}&state=1",
            f"https://user:{HUSH}@host/x",
        ],
    )
    def test_secrets_within_texts(self, text: str) -> None:
        """In an event, a fact, a key and an error, for a token hides in any text."""
        event = {"event": text, "fact": text, "error": ValueError(text), "facts": {text: [text]}}

        masked = str(log.redact(None, "info", event))

        assert HUSH not in masked
        assert JWT not in masked
        assert masked.count("***") >= 5

    @pytest.mark.parametrize(
        "text",
        ["the bearer token was refused", 'Bearer realm="sma"', "basic rules", "client_id: missing"],
    )
    def test_ordinary_words_stay(self, text: str) -> None:
        """A message about tokens is no token."""
        assert log.mask(text) == text

    def test_other_objects_are_written_as_their_text(self) -> None:
        """A path, an instant or a secret value is no reason to fail."""
        facts = {
            "path": Path("a/b"),
            "at": datetime(2026, 1, 1, tzinfo=UTC),
            "x": SecretStr(HUSH),
            "n": 2**70,
        }

        assert log.redact(None, "info", facts) == {
            "path": "a/b",
            "at": "2026-01-01 00:00:00+00:00",
            "x": "**********",
            "n": str(2**70),
        }

    @given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(SCALARS, inner), max_leaves=8))
    def test_no_value_breaks_a_line(self, value: object) -> None:
        """A line of log never ends a run."""
        event = log.redact(None, "info", {"event": "x", "value": value})

        assert orjson.loads(orjson.dumps(event))["event"] == "x"

    @given(
        st.from_regex(r"[a-z0-9][a-z0-9._+-]{0,20}@[a-z0-9-]{1,9}\.[a-z]{2,5}", fullmatch=True),
        st.sampled_from(["{}", "<{}>", "owner={}", "x {} y", '"{}"', "({}, {})", "https://h/{}/x"]),
    )
    def test_no_address_passes(self, address: str, frame: str) -> None:
        """Wherever an address stands, its local part is gone."""
        local, _, domain = address.partition("@")

        masked = log.mask(frame.replace("{}", address))

        assert masked == frame.replace("{}", f"{local[0]}***@{domain}")

    @pytest.mark.parametrize("text", ["a" * 10**6, "a@" * 10**5, "a.b" * 10**5 + "%40", "eyJ" * 10**5])
    @pytest.mark.timeout(20)
    def test_a_long_text_takes_no_long_time(self, text: str) -> None:
        """A body in an error is scanned once."""
        assert len(log.mask(text)) <= 4 * len(text)
