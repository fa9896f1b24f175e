"""What storage/ tells the readers of a lake is true: its SQL and recipes run, and every reader sees the same rows."""

import ast
import asyncio
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from running import accept_all, backfilled, configured

from harvester.lake.dictionary import lake_dictionary
from harvester.lake.layout import Partition, Places
from harvester.lake.parquet import write
from harvester.lake.schema import REVISION_COLUMNS, REVISIONS, polars_schema
from harvester.sandbox import Settings, serving

STORAGE = Path(__file__).parents[1] / "storage"
FIRST, LAST = date(2026, 10, 24), date(2026, 10, 26)
"""Three days, the one in the middle with 25 hours in Berlin."""
DUCKDB_TYPES = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "int16": "SMALLINT",
    "int64": "BIGINT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp, µs, UTC": "TIMESTAMP WITH TIME ZONE",
    "timestamp, µs, without zone": "TIMESTAMP",
}


def documented() -> dict[str, dict[str, str]]:
    """Return the columns of each documented table and their types, as the dictionary has them."""
    tables: dict[str, dict[str, str]] = {}
    for section in lake_dictionary().split("### ")[1:]:
        name = section.split("`")[1]
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, flags=re.MULTILINE)
        tables[name] = {column: DUCKDB_TYPES[kind] for column, kind in rows}
    return tables


TABLES = documented()
MASTER = ("plants", "devices", "aliases")


def in_path(table: str) -> dict[str, str]:
    """Return the column that the path adds to *table*, with its type in DuckDB."""
    if table.endswith(("_daily", "_monthly")):
        return {"year": "BIGINT"}
    return {} if table in MASTER or table.endswith("_yearly") else {"date": "DATE"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a lake of three plants and three days, with a revision, a lost column and one met later."""
    folder = tmp_path_factory.mktemp("storage")

    async def harvest() -> Path:
        settings = Settings(plants=3, devices=7, start=date(2026, 10, 1), zones=("Europe/Berlin", "Asia/Kolkata"))
        async with serving(settings) as running:
            accept_all(running)
            config = configured(running, folder)
            assert (await backfilled(config, FIRST, LAST)).exit_code == 0
            return config.lake.root

    root = asyncio.run(harvest())
    days = [root / f"device_power_ac/date={day}/part-00000.parquet" for day in (FIRST, LAST)]
    oldest, newest = (pq.read_table(day, partitioning=None) for day in days)
    pq.write_table(oldest.drop_columns(["grid_frequency"]), days[0])
    later = pa.array([float(n) for n in range(newest.num_rows)])
    pq.write_table(newest.append_column("met_later", later), days[1])
    moment = datetime(2026, 10, 24, 10, tzinfo=UTC)
    row = ("device_power_ac", "1", "2", moment, None, "active_power", 1.0, 2.0, moment)
    frame = pl.DataFrame([row], schema=polars_schema(REVISION_COLUMNS), orient="row")
    write(Places(root).file(Partition(REVISIONS, FIRST, 0)), frame, REVISION_COLUMNS)
    return root


def opened(root: Path) -> duckdb.DuckDBPyConnection:
    """Return DuckDB with the shipped views over the lake at *root*."""
    connection = duckdb.connect()
    connection.execute(f"SET VARIABLE lake = '{root}'")
    connection.execute((STORAGE / "duckdb.sql").read_text(encoding="utf-8"))
    return connection


@pytest.fixture(scope="module")
def views(lake: Path) -> duckdb.DuckDBPyConnection:
    """Return DuckDB with the shipped views over the lake."""
    return opened(lake)


def by_pyarrow(root: Path, table: str) -> pa.Table:
    """Read *table* as the recipe for pyarrow does."""
    kinds = {"DATE": pa.date32(), "BIGINT": pa.int64()}
    from_path = pa.schema([(name, kinds[kind]) for name, kind in in_path(table).items()])
    partitioning = ds.partitioning(from_path, flavor="hive") if in_path(table) else None
    dataset = ds.dataset(root / table, format="parquet", partitioning=partitioning)
    schemas = [fragment.physical_schema for fragment in dataset.get_fragments()]
    return dataset.replace_schema(pa.unify_schemas([dataset.schema, *schemas])).to_table()


def by_polars(root: Path, table: str) -> pl.DataFrame:
    """Read *table* as the recipe for polars does."""
    files = sorted((root / table).rglob("part-*.parquet"))
    return pl.concat([pl.scan_parquet(f, hive_partitioning=True) for f in files], how="diagonal").collect()


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return *frame* with columns and rows in an order that any reader can give."""
    return frame.select(sorted(frame.columns)).sort(sorted(frame.columns))


def blocks(language: str, page: Path = STORAGE / "README.md") -> list[str]:
    """Return the blocks of code in *language* that *page* does not exempt."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [block for block in found if "Not run by the tests" not in block]


class TestViews:
    """storage/duckdb.sql."""

    def test_each_documented_table_is_a_view_with_the_documented_columns(self, tmp_path: Path) -> None:
        """Names, order and types are the dictionary's, even over a lake that holds nothing yet."""
        connection = opened(tmp_path)

        for table, columns in TABLES.items():
            described = connection.execute(f"DESCRIBE {table}").fetchall()
            assert {row[0]: row[1] for row in described} == columns | in_path(table)
            assert [row[0] for row in described] == [*columns, *in_path(table)]
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)]

    def test_each_view_has_the_rows_that_pyarrow_counts(self, lake: Path, views: duckdb.DuckDBPyConnection) -> None:
        """Every folder of the lake is behind a view, whole; a view without a folder is empty."""
        counted = {f.name: ds.dataset(f, format="parquet").count_rows() for f in lake.glob("[a-z]*")}

        assert counted.keys() <= TABLES.keys()
        assert len(counted) > len(TABLES) / 2
        for table in TABLES:
            assert views.execute(f"SELECT count(*) FROM {table}").fetchall() == [(counted.get(table, 0),)]

    def test_channels_met_later_follow_the_documented_ones(self, views: duckdb.DuckDBPyConnection) -> None:
        """A file that lacks a column answers with null, and an undocumented column is not lost."""
        held = "SELECT date, count(grid_frequency) > 0, count(met_later) > 0"
        found = views.execute(f"{held} FROM device_power_ac GROUP BY ALL ORDER BY date").fetchall()

        assert [row[1:] for row in found] == [(False, False), (True, False), (True, True)]

    def test_a_view_lives_through_a_table_that_grows(self, lake: Path, tmp_path: Path) -> None:
        """Views in a database file see files that came later, columns that came later included."""
        with duckdb.connect(tmp_path / "views.db") as connection:
            connection.execute(f"SET VARIABLE lake = '{tmp_path / 'lake'}'")
            connection.execute((STORAGE / "duckdb.sql").read_text(encoding="utf-8"))
        shutil.copytree(lake, tmp_path / "lake")
        with duckdb.connect(tmp_path / "views.db") as connection:
            connection.execute(f"SET VARIABLE lake = '{tmp_path / 'lake'}'")
            assert connection.execute("SELECT count(met_later) FROM device_power_ac").fetchall() > [(0,)]

    def test_the_daily_energy_is_that_of_the_rows(self, lake: Path, views: duckdb.DuckDBPyConnection) -> None:
        """W x minutes / 60 = Wh, by plant-local day, and a day of 25 hours has 1500 minutes."""
        found = views.sql("SELECT * FROM example_daily_energy ORDER BY plant_id, date").pl()
        rows = by_polars(lake, "plant_energy_balance")
        wanted = (
            rows.group_by("plant_id", "date")
            .agg((pl.col("pv_generation") * pl.col("interval_minutes") / 60 / 1000).sum().alias("kwh"))
            .sort("plant_id", "date")
        )

        assert found["plant_id"].to_list() == wanted["plant_id"].to_list()
        assert found["generated_kwh"].to_list() == pytest.approx(wanted["kwh"].to_list())
        assert sorted(set(found["minutes"].to_list())) == [1440, 1500]

    def test_the_other_examples_answer(self, lake: Path, views: duckdb.DuckDBPyConnection) -> None:
        """One latest row a plant; no inverter yields more than its nominal power all day long."""
        latest = views.sql("SELECT plant_id, time FROM example_latest").pl()
        rows = by_polars(lake, "plant_energy_balance").group_by("plant_id").agg(pl.col("time").max())
        yields = views.sql("SELECT kwh_per_kw FROM example_specific_yield").pl()["kwh_per_kw"]

        assert in_order(latest).equals(in_order(rows))
        assert 0 < yields.min() <= yields.max() < 12


@pytest.mark.parametrize("table", TABLES)
def test_every_reader_sees_the_same_rows(lake: Path, views: duckdb.DuckDBPyConnection, table: str) -> None:
    """DuckDB, polars and pyarrow agree on every table, value for value and type for type."""
    view = in_order(views.sql(f"SELECT * FROM {table}").pl())
    there = (lake / table).is_dir()
    others = [by_polars(lake, table), pl.from_arrow(by_pyarrow(lake, table))] if there else []

    assert there or view.is_empty()
    for other in map(in_order, others):
        assert view.columns == sorted({*other.columns, *TABLES[table]})
        assert view.select(other.columns).equals(other)
        assert view.select(other.columns).schema == other.schema


def test_the_query_that_the_demo_prints_runs(tmp_path: Path) -> None:
    """A week of two plants, each day between nothing and what the plant could make in the sun of a day."""
    folder = tmp_path / "demo"
    arguments = (sys.executable, "-m", "harvester", "demo", "--folder", str(folder), "--plants", "2")
    printed = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    lines = [line.strip() for line in printed.splitlines()]
    query = shlex.split(next(line for line in lines if line.startswith("duckdb -c ")))[2]
    python = next(line for line in lines if line.startswith("import duckdb"))
    rows = duckdb.sql(query).fetchall()
    peak = dict(opened(folder / "lake").execute("SELECT plant_id, peak_power / 1000 FROM plants").fetchall())

    assert len(peak) == 2
    assert len(rows) == 14
    assert all(0 < kwh < 14 * peak[plant] for plant, _, kwh in rows)
    assert ast.literal_eval(re.search(r"duckdb\.sql\((.*)\)\.show\(\)", python)[1]) == query


class TestReadme:
    """storage/README.md."""

    def test_the_dictionary_is_what_the_code_prints(self) -> None:
        """Between the two marks stands the output of `harvester schema lake`."""
        text = (STORAGE / "README.md").read_text(encoding="utf-8")
        found = re.search(r"<!-- dictionary: begin -->\n\n(.*)\n<!-- dictionary: end -->", text, flags=re.DOTALL)

        assert found
        assert found[1] == lake_dictionary()

    def test_the_recipes_run(self, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every block of Python, one after the other, and every block of SQL, the first page's too, as they stand."""
        (tmp_path / "storage/data").mkdir(parents=True)
        (tmp_path / "storage/data/lake").symlink_to(lake)
        shutil.copy(STORAGE / "duckdb.sql", tmp_path / "storage")
        monkeypatch.chdir(tmp_path)
        names: dict[str, object] = {}

        assert len(blocks("python")) >= 4
        for block in blocks("python"):
            exec(block, names)  # noqa: S102 - it is what a reader would do
        assert len(blocks("sql")) >= 1
        for block in [*blocks("sql"), *blocks("sql", STORAGE.parent / "README.md")]:
            assert duckdb.sql(block).fetchall()

    def test_every_file_that_it_names_is_there(self) -> None:
        """No link leads nowhere, and no SQL file goes unmentioned."""
        text = (STORAGE / "README.md").read_text(encoding="utf-8")
        linked = set(re.findall(r"\]\(([\w./-]+)\)", text))

        assert linked == {file.name for file in STORAGE.glob("*.sql")}


class TestLoaders:
    """The SQL for other warehouses."""

    def test_the_loader_brings_every_row_once_and_what_changed_again(self, lake: Path, tmp_path: Path) -> None:
        """With another DuckDB file in PostgreSQL's place: twice loaded is once loaded, a lost day comes back."""
        text = (STORAGE / "postgres.sql").read_text(encoding="utf-8")
        target = f"ATTACH IF NOT EXISTS '{tmp_path / 'warehouse.db'}' AS warehouse;"
        loader = text.replace("ATTACH '' AS warehouse (TYPE postgres);", target)
        here, there = "plant_energy_balance", "warehouse.plant_energy_balance"
        connection = opened(lake)
        wrong = []
        for spoil in (None, f"DELETE FROM {there} WHERE date = '{LAST}'", None):
            if spoil:
                connection.execute(spoil).fetchall()
            connection.execute(loader).fetchall()
            wrong += connection.execute(f"FROM {here} EXCEPT ALL FROM {there}").fetchall()
            wrong += connection.execute(f"FROM {there} EXCEPT ALL FROM {here}").fetchall()
            assert connection.execute(f"SELECT count(*) > 0 FROM {there}").fetchall() == [(True,)]

        assert target in loader
        assert wrong == []

    def test_they_name_columns_that_there_are(self) -> None:
        """Every column that the external tables name is documented."""
        text = (STORAGE / "snowflake.sql").read_text(encoding="utf-8")
        named = re.findall(r"^    (\w+) .* AS \(VALUE:(\w+)::", text, flags=re.MULTILINE)

        assert len(named) > 5
        assert {a for a, _ in named} | {b for _, b in named} <= TABLES["plant_energy_balance"].keys()
