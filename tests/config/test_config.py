"""The configuration: which source wins, what is refused, and that it is a value."""

import string
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harvester.config import KEYS, Cadence, Config, Since, load
from harvester.errors import ConfigError

VARIABLES = [f"HARVESTER_{section}__{key}".upper() for section, keys in KEYS.items() for key in keys] + [
    "HARVESTER_SMA__A__B",
    "HARVESTER_SMA__",
    "HARVESTER_RATE____X",
    "HARVESTER_LAKE__ROOT__X",
]

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file."""

    def _write(text: str) -> Path:
        path = tmp_path / "harvester.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def problems(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """Return what is wrong with a configuration that is refused."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ=environ or {}, flags=flags or {})
    return caught.value.problems


class TestPrecedence:
    """Flag, variable, file of a secret, TOML, default."""

    def test_defaults(self) -> None:
        """Nothing needs to be set."""
        config = load(None, environ={})

        assert config.sma.environment == "local"
        assert config.rate.requests is None
        assert config.harvest.live_sets == ("EnergyBalance",)
        assert config.schedule.live == Cadence.parse("5m")

    def test_each_source_beats_the_next(self, write: Write) -> None:
        """A flag beats a variable, a variable beats TOML, TOML beats the default."""
        path = write("[rate]\nconcurrency = 2\n[lake]\nplants_per_file = 2\n[harvest]\nsettle_days = 2")
        environ = {"HARVESTER_RATE__CONCURRENCY": "3", "HARVESTER_LAKE__PLANTS_PER_FILE": "3"}

        config = load(path, environ=environ, flags={"rate.concurrency": 4})

        assert (config.rate.concurrency, config.lake.plants_per_file, config.harvest.settle_days) == (4, 3, 2)
        assert config.rate.window_seconds == 300

    def test_a_flag_that_was_not_given_counts_for_nothing(self) -> None:
        """None is how a command line says that an option is absent."""
        assert load(None, environ={}, flags={"harvest.since": None}).harvest.since == Since.parse("7d")

    def test_lists_and_numbers_are_json_in_the_environment(self) -> None:
        """A variable holds JSON for everything but text."""
        environ = {"HARVESTER_SMA__OWNERS": '["a@b.org", "c@d.org"]', "HARVESTER_HARVEST__SETTLE_DAYS": "0.5"}

        config = load(None, environ=environ)

        assert config.sma.owners == ("a@b.org", "c@d.org")
        assert config.harvest.settle_days == 0.5

    def test_text_that_looks_like_a_number_stays_text(self) -> None:
        """A client id of digits is no number."""
        environ = {"HARVESTER_SMA__CLIENT_ID": "12345", "HARVESTER_LAKE__ROOT": "2026"}

        config = load(None, environ=environ)

        assert config.sma.credentials().client_id == "12345"
        assert config.lake.root == Path("2026").absolute()

    def test_the_environment_that_counts_is_the_one_handed_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process's own variables are never read."""
        monkeypatch.setenv("HARVESTER_RATE__CONCURRENCY", "99")

        assert load(None, environ={}).rate.concurrency == 16
        assert Config().rate.concurrency == 16

    def test_an_empty_variable_is_none(self) -> None:
        """Container tools pass on what nobody has set as an empty variable."""
        environ = {"HARVESTER_SMA__CLIENT_ID": "", "HARVESTER_RATE__REQUESTS": ""}

        config = load(None, environ=environ)

        assert config.sma.client_id is None
        assert config.rate.requests is None

    @pytest.mark.parametrize("name", ["HARVESTER_CONFIG", "HARVESTER_X__Y", "HARVESTER_SMA", "SMA__CLIENT_ID"])
    def test_other_variables_are_none_of_ours(self, name: str) -> None:
        """Only variables of a known section count."""
        assert load(None, environ={name: "x"}) == load(None, environ={})


class TestRefusals:
    """A wrong key, type or value is refused with its path and what would be right."""

    def test_all_at_once_with_the_file_in_the_text(self, write: Write) -> None:
        """A person mends everything in one go."""
        path = write('[sma]\nenviroment = "local"\ntimeout_seconds = 0\n[rates]\nrequests = 1\n')

        with pytest.raises(ConfigError) as caught:
            load(path, environ={"HARVESTER_RATE__CONCURRENCY": "many"})

        assert caught.value.exit_code == 2
        assert caught.value.problems == {
            "rates": "unknown section; did you mean rate?",
            "sma.timeout_seconds": "given 0; must be greater than 0",
            "sma.enviroment": "unknown key; did you mean environment?",
            "rate.concurrency": 'given "many"; must be a valid integer (HARVESTER_RATE__CONCURRENCY)',
        }
        assert str(caught.value).startswith(f"{path} is refused:\n  rates: unknown section")

    @pytest.mark.parametrize(
        ("toml", "key", "right"),
        [
            ('[rate]\nrequests = "1000"', "rate.requests", 'given "1000"; must be a valid integer'),
            ("[rate]\nrequests = true", "rate.requests", "given true; must be a valid integer"),
            ("[rate]\nrequests = 0", "rate.requests", "given 0; must be greater than or equal to 1"),
            ("[rate]\nconcurrency = 257", "rate.concurrency", "must be less than or equal to 256"),
            ("[rate]\nconcurrency = 0", "rate.concurrency", "must be greater than or equal to 1"),
            ("[rate]\nwindow_seconds = 0", "rate.window_seconds", "must be greater than 0"),
            ("[rate]\nwindow_seconds = inf", "rate.window_seconds", "must be a finite number"),
            ("[sma]\ntimeout_seconds = nan", "sma.timeout_seconds", "must be a finite number"),
            ("[lake]\nplants_per_file = 0", "lake.plants_per_file", "must be greater than or equal to 1"),
            (
                "[lake]\nplants_per_file = 10001",
                "lake.plants_per_file",
                "must be less than or equal to 10000",
            ),
            ("[lake]\npublish_seconds = 0.5", "lake.publish_seconds", "must be greater than or equal to 1"),
            ('[sma]\ntimeout_seconds = "45"', "sma.timeout_seconds", 'given "45"; must be a valid number'),
            ("[harvest]\nsettle_days = true", "harvest.settle_days", "must be a valid number"),
            ("[harvest]\nsettle_days = -1", "harvest.settle_days", "must be greater than or equal to 0"),
            ('[harvest]\nsets = "PowerAc"', "harvest.sets", "must be a list"),
            ('[harvest]\nsets = [" "]', "harvest.sets[0]", "must not be empty"),
            ("[harvest]\nplants = [17]", "harvest.plants[0]", "given 17; must be text in quotes"),
            ('[sma]\nenvironment = "prod"', "sma.environment", "'local', 'sandbox' or 'production'"),
            ('[sma]\ngrant = "both"', "sma.grant", "must be 'custom' or 'code'"),
            ('[sma]\nowners = ["nobody"]', "sma.owners[0]", "must be an e-mail address"),
            ('[sma]\nclient_id = ""', "sma.client_id", "must not be empty"),
            ("sma = 3", "sma", "must be a section of keys"),
            ("[[rate]]\nrequests = 3", "rate", "must be a section of keys"),
            ("owners = []", "owners", "did you mean owners of [sma]?"),
            ("[rate]\nowners = []", "rate.owners", "did you mean owners of [sma]?"),
            ('[sma]\nzzz = "x"', "sma.zzz", "unknown key; must be one of environment, allow_http, auth_url"),
            ('_env_file = "x"', "_env_file", "unknown section; must be one of sma, rate"),
        ],
    )
    def test_says_what_would_be_right(self, write: Write, toml: str, key: str, right: str) -> None:
        """One mistake is one problem, under the path of its key."""
        found = problems(write(toml))

        assert list(found) == [key]
        assert right in found[key]

    def test_a_mistyped_variable_of_a_known_section(self) -> None:
        """A typo in a variable is not passed over."""
        found = problems(environ={"HARVESTER_SMA__CLIENT_SECERT": "x"})

        assert found == {"sma.client_secert": "unknown key; did you mean client_secret? (HARVESTER_SMA__CLIENT_SECERT)"}

    def test_a_list_that_is_not_json(self) -> None:
        """A list in a variable is JSON."""
        found = problems(environ={"HARVESTER_SMA__OWNERS": "a@b.org"})

        assert found["sma.owners"] == ('given "a@b.org"; must be a list: ["...", "..."] (HARVESTER_SMA__OWNERS)')

    @pytest.mark.parametrize(
        ("toml", "place"),
        [
            ("[rate]\nrequests 3\n", "line 2, column 10"),
            ("[rate]\nrequests", "line 2, the end of the document"),
        ],
    )
    def test_toml_that_is_none_names_line_and_column(self, write: Write, toml: str, place: str) -> None:
        """A syntax error can be found."""
        with pytest.raises(ConfigError, match=rf"harvester\.toml is not TOML: .*at {place}"):
            load(write(toml), environ={})

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        """A configuration that was asked for must exist."""
        with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file"):
            load(tmp_path / "none.toml", environ={})

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        """A folder is no configuration."""
        with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
            load(tmp_path, environ={})

    def test_a_file_that_is_not_utf8(self, tmp_path: Path) -> None:
        """TOML is UTF-8; a byte order mark is forgiven."""
        path = tmp_path / "harvester.toml"
        path.write_bytes(b"[rate]\nrequests = 7\n# \xff")

        with pytest.raises(ConfigError, match="is not UTF-8: byte 22"):
            load(path, environ={})

        path.write_text("[rate]\nrequests = 7", encoding="utf-8-sig")
        assert load(path, environ={}).rate.requests == 7

    @given(st.dictionaries(st.sampled_from(VARIABLES), st.text(alphabet=string.printable + "\0é", max_size=12)))
    def test_nothing_but_its_own_error(self, environ: dict[str, str]) -> None:
        """Whatever the variables hold, the outcome is a configuration or one refusal."""
        try:
            outcome: Config | dict[str, str] = load(None, environ=environ)
        except ConfigError as error:
            outcome = error.problems

        assert outcome


class TestFrozen:
    """A configuration is a value."""

    def test_nothing_can_be_set(self) -> None:
        """Neither a key nor a section changes after loading."""
        config = load(None, environ={})

        with pytest.raises(ValidationError):
            config.rate.concurrency = 3
        with pytest.raises(ValidationError):
            config.rate = config.rate
