"""What a daemon shows, whom it calls, how it keeps secrets: as it is configured."""

import re
from typing import Any

import pytest

from harvester.config import Config, load
from harvester.errors import ConfigError


def configured(**flags: Any) -> Config:
    """Return a configuration; two underscores stand for a dot."""
    return load(None, environ={}, flags={key.replace("__", "."): value for key, value in flags.items()})


@pytest.mark.parametrize("given", ["", "off", " off "])
def test_a_listener_can_be_closed(given: str) -> None:
    """Nothing opens none; in a variable, where nothing means that nobody has set it, `off` says so."""
    assert configured(web__operator=given).web.operator == ""
    assert load(None, environ={"HARVESTER_WEB__OPERATOR": "off"}).web.operator == ""
    assert load(None, environ={"HARVESTER_WEB__OPERATOR": ""}).web.operator == "127.0.0.1:8651"


@pytest.mark.parametrize(
    "given", ["8651", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x", "a b:80", "http://a:80", 8651]
)
def test_what_is_no_address_is_refused(given: object) -> None:
    """Host and port, and nothing else."""
    with pytest.raises(ConfigError, match=r"web\.operator"):
        configured(web__operator=given)


def test_shards_take_one_port_after_the_other() -> None:
    """Several daemons of one configuration stand beside each other; a free port is a free port for each."""
    web = configured(web__operator="127.0.0.1:8651").web

    assert [web.operator_of(shard) for shard in (1, 2, 3)] == ["127.0.0.1:8651", "127.0.0.1:8652", "127.0.0.1:8653"]
    assert configured(web__operator="127.0.0.1:0").web.operator_of(2) == "127.0.0.1:0"
    assert configured(web__operator="off").web.operator_of(2) == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "[::]", "example.org"])  # noqa: S104 - that is the point
def test_others_see_the_operators_pages_with_a_password_only(host: str) -> None:
    """Beyond this machine a password is needed, and the refusal says how to give one."""
    with pytest.raises(ConfigError, match="HARVESTER_WEB__OPERATOR_PASSWORD"):
        configured(web__operator=f"{host}:8651")

    assert configured(web__operator=f"{host}:8651", web__operator_password="secret").web.operator == f"{host}:8651"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_needs_none(host: str) -> None:
    """Who is on the machine may look."""
    assert configured(web__operator=f"{host}:8651").web.operator_is_local


def test_owners_need_an_address_to_come_to() -> None:
    """The public listener without the address that owners type is refused; so is one with a path."""
    with pytest.raises(ConfigError, match="public_url"):
        configured(web__public="127.0.0.1:8650")
    with pytest.raises(ConfigError, match="without a path"):
        configured(web__public="127.0.0.1:8650", web__public_url="https://connect.example.org/solar")

    web = configured(web__public="127.0.0.1:8650", web__public_url="https://connect.example.org/").web
    assert web.public_url == "https://connect.example.org"


def test_secrets_are_never_shown() -> None:
    """Password, webhook and key appear in no text that a configuration turns into."""
    config = configured(
        web__operator_password="p4ss", alerts__webhook_url="https://h.example.org/t0ken", vault__key="k3y"
    )

    assert not {"p4ss", "t0ken", "k3y"} & set(re.findall(r"\w+", f"{config!r} {config.model_dump_json()}"))
