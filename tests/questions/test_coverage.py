"""How much is there, per plant and day: counted, put together, drawn in a terminal, written as a page."""

import io
import json
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from running import accept_all, backfilled, configured

from harvester.compose import scope_of
from harvester.config import Config
from harvester.errors import ConfigError
from harvester.questions.asking import Question, coverage_of
from harvester.questions.coverage import Bucket, Cell, PlantRow, bucket_for, bucketed, columns
from harvester.questions.coverage_page import page
from harvester.questions.heatmap import SHADES, shade, show_heatmap
from harvester.sandbox import Faults, Settings, serving

FIRST, LAST = date(2026, 10, 19), date(2026, 10, 25)
NOW = datetime(2026, 10, 26, tzinfo=UTC)
FULL = Cell(applicable=4, covered=4, settled=4, received=900, plausible=910)
POOR = Cell(applicable=4, covered=1, settled=1, failed=2, unasked=1, received=200, plausible=910)
CELLS = st.builds(Cell, **{field.name: st.integers(0, 50) for field in fields(Cell)})
ROWS = st.builds(
    PlantRow, st.uuids().map(str), st.text(), st.dictionaries(st.dates(date(2020, 1, 1), date(2023, 1, 1)), CELLS)
)


def row(name: str = "Barn", *, number: int = 30, cell: Cell = FULL) -> PlantRow:
    """Return a plant with so many equal days from the first of October on."""
    first = date(2026, 10, 1)
    return PlantRow("4711", name, {first + timedelta(days=n): cell for n in range(number)})


def drawn(rows: list[PlantRow], width: int) -> list[str]:
    """Return the lines that a terminal of that width shows."""
    out = io.StringIO()
    show_heatmap(rows, Console(file=out, width=width))
    return out.getvalue().splitlines()


class Page(HTMLParser):
    """A page, taken apart."""

    def __init__(self, text: str) -> None:
        """Read *text*."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag with its attributes."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every such tag."""
        return [attrs for name, attrs in self.tags if name == tag]


@given(rows=st.lists(ROWS, max_size=4), bucket=st.sampled_from(Bucket))
def test_days_put_together_lose_nothing(rows: list[PlantRow], bucket: Bucket) -> None:
    """Weeks and months hold the sums of their days, and every bucket has its column."""
    merged = bucketed(rows, bucket)

    assert [each.whole for each in merged] == [each.whole for each in rows]
    assert {day for each in merged for day in each.cells} <= set(columns(merged, bucket))
    assert columns(merged, bucket) == sorted({bucket.of(day) for day in columns(merged, bucket)})


@given(days=st.integers(0, 4000), most=st.integers(4, 300))
def test_the_finest_bucket_that_fits_is_taken(days: int, most: int) -> None:
    """Days as long as they fit, then weeks, then months."""
    first = date(2026, 1, 1)
    bucket = bucket_for(days, most)
    heads = {bucket.of(first + timedelta(days=n)) for n in range(days)}

    assert bucket is Bucket.MONTH or len(heads) <= most
    assert (bucket is Bucket.DAY) == (days <= most)


@given(cell=CELLS)
def test_every_share_has_a_shade(cell: Cell) -> None:
    """Told apart by glyph, not by colour alone; nothing applicable has its own."""
    found = shade(cell)

    assert len({each.glyph for each in SHADES}) == len(SHADES)
    assert (found in SHADES) == (cell.share is not None)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_narrow_terminal_gets_bands(width: int) -> None:
    """No line of the map is wider than the terminal, and every day is drawn once."""
    lines = drawn([row("Barn"), row("School roof", cell=POOR)], width)
    barn = [line for line in lines if line.startswith("Barn 4711")]

    assert all(len(line) <= width for line in lines if "Share of" not in line)
    assert "".join(barn).count("█") == 2 * 30
    assert len(barn) == (1 if width >= 80 else -(-30 // ((width - len("School roof 4711") - 1) // 2)))


def test_a_long_span_is_drawn_in_months() -> None:
    """Five years of days do not fit into three bands; the legend says what a column stands for."""
    lines = drawn([row(number=5 * 365)], 80)

    assert any("each plant and month" in line for line in lines)
    assert len([line for line in lines if line.startswith("Barn")]) <= 3


def test_the_legend_explains_every_glyph() -> None:
    """All shades and the dot for nothing to harvest."""
    legend = drawn([row()], 100)[-1]

    assert all(each.glyph in legend and each.words in legend for each in SHADES)
    assert "nothing to harvest" in legend


def test_a_page_escapes_names_and_needs_nothing_else() -> None:
    """A plant named like a script is text; nothing is loaded from anywhere."""
    name = '<script>alert("x")</script><img src=//evil onerror=alert(1)>'
    text = page([row(name), row('"quoted" & <b>bold</b>', cell=POOR)], now=NOW)
    read = Page(text)

    assert len(read.all("script")) == 1
    assert read.all("img") == read.all("b") == read.all("link") == []
    assert not [tag for tag in read.tags if {"src", "href", "srcset"} & tag[1].keys()]
    assert "url(" not in text
    assert "@import" not in text
    assert any(name in text for text in read.texts)
    assert "default-src 'none'" in str(read.all("meta"))


def test_a_page_can_be_read_without_eyes_or_mouse() -> None:
    """Heads with a scope, a caption, a text for every cell, one way in for the Tab key, a live region."""
    read = Page(page([row(), row("School", cell=POOR)], now=NOW))
    cells = [attrs for attrs in read.all("td") if "class" in attrs]

    assert len(cells) == 60
    assert all(attrs["aria-label"] for attrs in cells)
    assert [attrs["tabindex"] for attrs in cells].count("0") == 1
    assert {attrs["scope"] for attrs in read.all("th")} == {"row", "col", "colgroup"}
    assert read.all("caption")
    assert read.all("output")[0]["aria-live"] == "polite"
    assert read.all("html")[0]["lang"] == "en"
    assert "2 failed" in str(cells[-1]["aria-label"])
    assert "200 of about 910 plausible rows" in str(cells[-1]["aria-label"])


def test_a_page_follows_light_and_dark() -> None:
    """Without a plant it is still a page."""
    text = page([], now=NOW)

    assert "prefers-color-scheme: dark" in text
    assert "color-scheme: light dark" in text
    assert "no day" in text


def counted(config: Config, capsys: pytest.CaptureFixture[str], first: date, last: date) -> tuple[int, list[dict]]:
    """Do what `coverage --json --check` does and return exit code and list."""
    capsys.readouterr()
    code = coverage_of(config, Question(scope_of(config), first, last), html=None, check=True, as_json=True)
    return code, json.loads(capsys.readouterr().out)


async def test_days_are_counted_by_plant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Settled, failed and never asked days add up to the applicable ones; rows stand beside the plausible ones."""
    settings = Settings(plants=2, devices=1, classic_every=0, faults=Faults(failing=("PowerAc:404",)), start=FIRST)
    async with serving(settings) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__exclude_sets=["GridSettings"])
        await backfilled(config, FIRST, LAST - timedelta(days=1))
        code, found = counted(config, capsys, FIRST - timedelta(days=9), LAST)
        whole = counted(configured(running, tmp_path, harvest__sets=["PowerDc"]), capsys, FIRST, FIRST)
        truth = running.cloud.truth
        rows = sum(len(truth.rows(s, FIRST)) for s in truth.series() if s.set not in {"PowerAc", "GridSettings"})

    assert code == 3
    assert len(found) == 2 * 7
    for cell in found:
        assert cell["applicable"] == sum(cell[name] for name in ("settled", "open", "failed", "unasked")) == 4
        last = cell["day"] == str(LAST)
        assert (cell["failed"], cell["unasked"], cell["covered"]) == ((0, 4, 0) if last else (1, 0, 3))
    assert sum(cell["rows_received"] for cell in found if cell["day"] == str(FIRST)) == rows
    assert all(cell["rows_received"] / cell["rows_plausible"] > 0.8 for cell in found if cell["settled"])
    assert (whole[0], {cell["covered"] for cell in whole[1]}) == (0, {1})


async def test_a_day_that_is_open_but_plausible_is_covered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Open days count by their content: full ones do, those whose rows are still on their way do not."""
    now = datetime(2026, 10, 26, 0, 40, tzinfo=UTC)
    settings = Settings(plants=1, devices=1, classic_every=0, zones=("UTC",), late_rows=0.9)
    async with serving(settings, now=lambda: now) as running:
        accept_all(running)
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"])
        await backfilled(config, FIRST, LAST, wall=lambda: now)
        found = counted(config, capsys, FIRST, LAST)[1]

    assert [cell["open"] for cell in found] == [0, 0, 0, 0, 1, 1, 1]
    assert [cell["covered"] for cell in found] == [1, 1, 1, 1, 1, 0, 0]


async def test_the_page_is_written_where_it_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plant that calls itself a script reaches the page as text; a folder that is not there is a mistake."""
    async with serving(Settings(plants=1, devices=1, classic_every=0)) as running:
        accept_all(running)
        plant = running.cloud.truth.plants()[0]
        running.cloud.world._put(replace(plant, name="<script>1</script>"))
        config = configured(running, tmp_path, harvest__sets=["EnergyBalance"])
        await backfilled(config, FIRST, LAST)
        question = Question(scope_of(config), FIRST, LAST)
        code = coverage_of(config, question, html=tmp_path / "page.html", check=True, as_json=False)
        with pytest.raises(ConfigError, match="cannot be written"):
            coverage_of(config, question, html=tmp_path / "none" / "page.html", check=False, as_json=False)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")

    assert code == 0
    assert capsys.readouterr().out == ""
    assert "<script>1" not in text
    assert len(Page(text).all("script")) == 1
    assert text.count('class="all"') == 7 + 1  # the days, and the legend
