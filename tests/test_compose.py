"""From a configuration to the parts of a run: one pair of lake and ledger, one writer, one word to stop."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from running import accept_all, backfilled, configured

from harvester.compose import client_of, readable, scope_of, writable
from harvester.config import Config, load
from harvester.errors import ConfigError, HarvestError, LakeError, LedgerError, Locked
from harvester.lake.layout import Places
from harvester.lake.lock import writing
from harvester.model import Series
from harvester.sandbox import Running, Settings, serving
from harvester.stopping import Stop

FIRST, LAST = date(2026, 10, 5), date(2026, 10, 6)
START = date(2026, 9, 1)
"""Young plants: the sums of their lives are soon made."""
CLOUD = "http://127.0.0.1:8642"


def config_of(folder: Path, **more: object) -> Config:
    """Return a configuration that keeps everything below *folder*; dots in keys are two underscores."""
    kept = {"lake.root": str(folder / "lake"), "ledger.url": f"sqlite:///{folder / 'ledger.db'}"}
    return load(None, environ={}, flags=kept | {key.replace("__", "."): value for key, value in more.items()})


@pytest.fixture(scope="module")
def harvest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Running, Path]:
    """Return a cloud that has ended, and the folder with lake and ledger of its plant."""

    async def fill(folder: Path) -> Running:
        async with serving(Settings(plants=1, devices=3, start=START)) as running:
            accept_all(running)
            await backfilled(configured(running, folder), FIRST, LAST)
            return running

    folder = tmp_path_factory.mktemp("harvest")
    return asyncio.run(fill(folder)), folder


@pytest.fixture
def copy(harvest: tuple[Running, Path], tmp_path: Path) -> Config:
    """Return the configuration of a copy that a test may spoil."""
    running, folder = harvest
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return configured(running, tmp_path)


class TestPair:
    """A lake and its ledger belong together, to one cloud, and to one writer at a time."""

    def test_the_first_writer_makes_both(self, tmp_path: Path) -> None:
        """Folders and all."""
        config = config_of(tmp_path / "new" / "place")
        with writable(config, "run") as stores:
            assert stores.lake.identity.host == "127.0.0.1:8642"
        assert config.ledger.path.exists()

    def test_readers_make_nothing(self, tmp_path: Path) -> None:
        """Where there is no ledger, the error says where it would be, and no file appears."""
        with pytest.raises(LedgerError, match=r"ledger\.db: there is no ledger yet"), readable(config_of(tmp_path)):
            pass
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("opened", [lambda config: writable(config, "run"), readable])
    def test_a_ledger_of_another_lake_is_refused(
        self, copy: Config, tmp_path: Path, opened: Callable[[Config], object]
    ) -> None:
        """By writers and by readers: its days would be called settled in a lake that does not hold them."""
        other = config_of(tmp_path / "other", sma__monitoring_url=copy.sma.monitoring_url)
        with writable(other, "run"):
            pass
        mixed = config_of(
            tmp_path / "other",
            sma__monitoring_url=copy.sma.monitoring_url,
            ledger__url=f"sqlite:///{copy.ledger.path}",
        )
        with pytest.raises(LedgerError, match="belongs to the lake") as caught, opened(mixed):
            pass
        assert str(copy.ledger.path) in str(caught.value)
        assert str(mixed.lake.root) in str(caught.value)

    def test_a_ledger_whose_lake_is_gone_is_refused(self, copy: Config) -> None:
        """An empty lake beside a ledger full of settled days would never be filled."""
        shutil.rmtree(copy.lake.root)
        with pytest.raises(LedgerError, match="holds no lake"), writable(copy, "run"):
            pass

    def test_a_lake_of_another_cloud_is_refused(self, copy: Config, tmp_path: Path) -> None:
        """Both hosts are named, and the setting that separates them."""
        other = config_of(tmp_path, sma__monitoring_url=f"{CLOUD}/monitoring/v1")
        with pytest.raises(LakeError, match=r"lake\.root") as caught, writable(other, "run"):
            pass
        assert "127.0.0.1:8642" in str(caught.value)
        assert copy.sma.monitoring_url.split("/")[2] in str(caught.value)

    def test_a_lake_that_holds_no_row_is_not_bound_to_a_cloud_yet(self, tmp_path: Path) -> None:
        """Who tried the wrong address first may correct it."""
        with writable(config_of(tmp_path, sma__monitoring_url="http://127.0.0.1:9/monitoring/v1"), "run"):
            pass
        with writable(config_of(tmp_path), "run") as stores:
            assert stores.lake.identity.host == "127.0.0.1:8642"

    def test_the_second_writer_is_told_who_the_first_is_and_readers_do_not_care(self, copy: Config) -> None:
        """The lock is one writer's; questions are answered meanwhile."""
        with writing(Places(copy.lake.root), command="backfill", now=datetime.now(UTC)):
            with pytest.raises(Locked, match=rf"harvester backfill.*process {os.getpid()}"), writable(copy, "run"):
                pass
            with readable(copy) as stores:
                assert len(stores.inventory.plants()) == 1

    def test_the_lock_goes_with_its_holder_whatever_happens(self, copy: Config) -> None:
        """An error inside frees the lake."""
        with pytest.raises(HarvestError), writable(copy, "run"):
            raise HarvestError
        with writable(copy, "run"):
            pass


class TestSelection:
    """What the configuration selects, narrowed by a command."""

    def test_a_command_narrows_and_exclusions_stay(self, tmp_path: Path) -> None:
        """An explicit choice replaces the configured one; what is excluded stays out."""
        config = config_of(tmp_path, harvest__plants=["1", "2"], harvest__exclude_sets=["Sensor"])
        narrow = scope_of(config, plants=frozenset({"2"}), sets=frozenset())
        assert [scope_of(config).takes_plant(p) for p in "123"] == [True, True, False]
        assert [narrow.takes_plant(p) for p in "123"] == [False, True, False]
        assert narrow.takes(Series(plant_id="2", device_id="20", set="PowerAc"))
        assert not narrow.takes(Series(plant_id="2", device_id="20", set="Sensor"))


class TestClient:
    """Credentials."""

    def test_a_cloud_of_sma_needs_a_client(self, tmp_path: Path) -> None:
        """Both variables are named before anything is asked."""
        with pytest.raises(ConfigError, match=r"HARVESTER_SMA__CLIENT_ID and HARVESTER_SMA__CLIENT_SECRET"):
            client_of(config_of(tmp_path, sma__environment="production"))

    def test_the_local_sandbox_needs_none(self, tmp_path: Path) -> None:
        """Its credentials are known, and nothing is asked yet."""
        client = client_of(config_of(tmp_path))

        assert client.address.endswith("/monitoring/v1")
        assert not client.counts.requests


class TestStop:
    """The operating system's word to stop."""

    @pytest.mark.parametrize(("word", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    async def test_a_signal_sets_the_event_and_the_exit_code(self, word: signal.Signals, code: int) -> None:
        """128 and the signal's number; the running work is not torn."""
        stop = Stop()
        with stop.listening():
            os.kill(os.getpid(), word)
            async with asyncio.timeout(5):
                await stop.event.wait()
        assert stop.exit_code == code

    async def test_afterwards_signals_are_the_process_s_own_again(self) -> None:
        """Nothing stays behind."""
        before = signal.getsignal(signal.SIGTERM)
        with Stop().listening():
            pass
        assert signal.getsignal(signal.SIGTERM) == before
