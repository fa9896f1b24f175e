"""The status page: HTML that needs nothing else, no script, no network, and renews itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from html import escape

from harvester.log import mask_secrets
from harvester.ops.standing import Lane, Run, Status
from harvester.questions.ages import words

AGAIN_SECONDS = 30
_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f5; --ink: #1c2226; --soft: #5d6870; --line: #dfe3e4; --card: #fff;
  --good: #1a7f4b; --fair: #b87a00; --bad: #c23b3b; --bar: #e6eaeb; --wash: #fdf1f0; }
@media (prefers-color-scheme: dark) { :root { --page: #13171a; --ink: #e8ecef; --soft: #9aa5ad; --line: #2b333a;
  --card: #1b2125; --good: #3fb97c; --fair: #e0b040; --bad: #ef7b74; --bar: #2b333a; --wash: #2a1c1c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.75rem 1.25rem 3rem; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1.25rem; margin-bottom: 1.25rem; }
h1 { font-size: 1.45rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1rem; margin: 0 0 .6rem; }
nav { margin-left: auto; display: flex; gap: 1rem; }
a { color: inherit; text-underline-offset: .2em; }
.soft, footer { color: var(--soft); font-size: .87rem; }
.badge { padding: .12rem .7rem; border-radius: 1rem; font-size: .85rem; font-weight: 600; }
.badge.good { background: var(--good); color: var(--card); } .badge.bad { background: var(--bad); color: var(--card); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: .9rem; }
.card, section { background: var(--card); border: 1px solid var(--line); border-radius: .7rem; padding: .95rem 1.1rem;
  margin: 0; min-width: 0; }
main > *, .columns > * { margin-bottom: .9rem; }
.card dt { color: var(--soft); font-size: .85rem; }
.card dd { margin: 0; }
.card .figure { font-size: 1.7rem; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card .figure small { font-size: .95rem; font-weight: 500; color: var(--soft); }
.bar { height: .45rem; border-radius: .3rem; background: var(--bar); overflow: hidden; margin: .35rem 0 .3rem; }
.bar i { display: block; height: 100%; background: var(--good); }
.bar i.fair { background: var(--fair); } .bar i.bad { background: var(--bad); }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); }
.trouble { border-color: var(--bad); background: var(--wash); }
.trouble ul { list-style: none; margin: 0; padding: 0; display: grid; gap: .8rem; }
.trouble strong { overflow-wrap: anywhere; } .trouble p { margin: .1rem 0 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr));
  gap: 0 .9rem; align-items: start; margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .34rem .9rem .34rem 0; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .82rem; }
th, td { overflow-wrap: break-word; }
tbody th { font-weight: 600; }
tbody th .soft { font-weight: 400; }
time { white-space: nowrap; }
code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr > :last-child { padding-right: 0; }
.dot { display: inline-block; width: .55rem; height: .55rem; margin-right: .5rem; border-radius: 50%;
  background: var(--bar); }
.dot.on { background: var(--good); }
"""
_MEANINGS = {
    0: ("complete", "good"),
    3: ("something failed", "fair"),
    130: ("interrupted", ""),
    143: ("interrupted", ""),
}
_CODE, _AS_CODE = re.compile("`([^`]+)`"), r"<code>\1</code>"
_ACCEPTED = "accepted"
_HOUR, _MINUTE = 3_600, 60
_WORRY, _FULL = 0.8, 0.95


def status_page(status: Status) -> str:
    """Return the page; every text that came from elsewhere is escaped, and secrets are masked."""
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_title(status)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="refresh" content="{AGAIN_SECONDS}">',
        f"<style>{_STYLE}</style></head><body><main>",
        _header(status),
        *_troubles(status),
        '<div class="cards">',
        *_cards(status),
        "</div>",
        _section("Work", ["work", "now", "next"], (_lane(lane, status.at) for lane in status.lanes)),
        '<div class="columns">',
        _section("Newest rows, the stalest plants first", ["plant", "#age", "newest row (UTC)"], _plants(status)),
        _section("Last work", ["work", "ended", "#took", "#rows", "result"], (_run(r, status.at) for r in status.runs)),
        "</div>",
        _footer(status),
        "</main></body></html>\n",
    ]
    return "\n".join(parts)


def _title(status: Status) -> str:
    return f"({len(status.troubles)}) SMA harvester" if status.troubles else "SMA harvester"


def _header(status: Status) -> str:
    number = len(status.troubles)
    badge = ("good", "all is well") if not number else ("bad", f"{number:,} need{'s' if number == 1 else ''} a person")
    links = {"/coverage": "Coverage", "/metrics": "Metrics", "/status.json": "JSON", "/readyz": "Ready?"}
    nav = "".join(f'<a href="{path}">{name}</a>' for path, name in links.items())
    return f'<header><h1>SMA harvester</h1><span class="badge {badge[0]}">{badge[1]}</span><nav>{nav}</nav></header>'


def _footer(status: Status) -> str:
    return (
        f"<footer>Version {_text(status.version)}, lake {_text(status.lake)}, running for "
        f"{_span((status.at - status.began_at).total_seconds())}. As of {_time(status.at)} UTC; "
        f"this page renews itself every {AGAIN_SECONDS} seconds.</footer>"
    )


def _troubles(status: Status) -> Iterator[str]:
    if not status.troubles:
        return
    items = "".join(
        f"<li><strong>{_text(each.title)}</strong> <span class=soft>since {_time(each.since)} UTC</span>"
        f"<p>{_CODE.sub(_AS_CODE, _text(each.remedy))}</p></li>"
        for each in status.troubles
    )
    yield f'<section class="trouble"><h2>Needs a person</h2><ul>{items}</ul></section>'


def _cards(status: Status) -> Iterator[str]:
    fleet, budget = status.fleet, status.budget
    stale = f'<span class="bad">{fleet.stale:,} stale</span>' if fleet.stale else "none stale"
    never = f", {fleet.without_rows:,} without rows" if fleet.without_rows else ""
    yield _card("Plants", f"{fleet.plants:,}", f"{stale}{never} (limit {status.stale_hours:g} h)")
    oldest = f"the oldest {words(fleet.oldest_seconds)}" if fleet.oldest_seconds is not None else "no row has come yet"
    yield _card("Newest row, half of the plants", words(fleet.median_seconds), oldest)
    share = fleet.settled / fleet.due if fleet.due else None
    covered = f"{fleet.settled:,} of {fleet.due:,} series-days" if fleet.due else "nothing is due yet"
    figure = "-" if share is None else f"{int(share * 1_000) / 10:g} %"
    yield _card(
        "Settled of the last 7 days due", figure, covered, None if share is None else (share, _grade(1 - share))
    )
    used = budget.spent / budget.limit if budget.limit else None
    figure = f"{budget.spent:,} <small>of {'?' if budget.limit is None else f'{budget.limit:,}'} requests</small>"
    pause = f'<span class="bad">SMA wants a pause: {_span(budget.pause_left)}</span>' if budget.pause_left > 0 else ""
    note = pause or f"in windows of {_span(budget.window_seconds)}"
    yield _card("Budget spent", figure, note, None if used is None else (used, "good"))
    if status.disk_free is not None and status.disk_total:
        taken = 1 - status.disk_free / status.disk_total
        figure = f"{_size(status.disk_free)} <small>free</small>"
        note = f"{100 * taken:.0f} % of {_size(status.disk_total)} is in use"
        yield _card("Disk of the lake", figure, note, (taken, _grade(taken)))
    accepted = sum(n for state, n in status.consents.items() if state.lower() == _ACCEPTED)
    others = ", ".join(
        f"{n:,} {_text(state)}" for state, n in sorted(status.consents.items()) if n and state.lower() != _ACCEPTED
    )
    yield _card("Consents", f"{accepted:,} <small>accepted</small>", others or "no other owner")


def _grade(worry: float) -> str:
    return "bad" if worry >= _FULL else "fair" if worry >= _WORRY else "good"


def _card(name: str, figure: str, note: str, bar: tuple[float, str] | None = None) -> str:
    """Return a card; *bar* is how far it is filled, 0 to 1, and its colour."""
    drawn = ""
    if bar is not None:
        drawn = f'<div class="bar"><i class="{bar[1]}" style="width:{100 * min(max(bar[0], 0), 1):.1f}%"></i></div>'
    figure = f'<dd class="figure">{figure}</dd>'
    return f'<dl class="card"><dt>{name}</dt>{figure}<dd class="soft">{drawn}{note}</dd></dl>'


def _section(title: str, heads: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table; a head that begins with # stands over numbers, and a row's first cell names it."""
    numbers = [' class="number"' if head.startswith("#") else "" for head in heads]
    head = "".join(f'<th scope="col"{n}>{h.lstrip("#")}</th>' for h, n in zip(heads, numbers, strict=True))
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f"<td{n}>{cell}</td>" for cell, n in zip(rest, numbers[1:], strict=True))
        + "</tr>"
        for first, *rest in rows
    )
    empty = "" if body else '<p class="soft">Nothing yet.</p>'
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return f"<section><h2>{title}</h2>{empty or table}</section>"


def _lane(lane: Lane, now: datetime) -> list[str]:
    dot = f'<span class="dot{" on" if lane.now else ""}"></span>'
    doing = _text(lane.now) if lane.now else '<span class="soft">rests</span>'
    return [f"{dot}{_text(lane.work)}", doing, _when(lane.next_at, now)]


def _when(at: datetime | None, now: datetime) -> str:
    if at is None:
        return '<span class="soft">-</span>'
    left = (at - now).total_seconds()
    return f'{"due now" if left <= 0 else f"in {_span(left)}"} <span class="soft">{_time(at)}</span>'


def _plants(status: Status) -> Iterator[list[str]]:
    for age in status.fleet.stalest:
        old = age.age_seconds is not None and age.age_seconds > status.stale_hours * _HOUR
        shown = f'<span class="{"bad" if old else ""}">{words(age.age_seconds)}</span>'
        name = f'{_text(age.name)} <span class="soft">{_text(age.plant_id)}</span>'
        yield [name, shown, _time(age.newest) if age.newest else "-"]


def _run(run: Run, now: datetime) -> list[str]:
    meaning, grade = _MEANINGS.get(run.exit_code, ("an error ended it", "bad"))
    told = _text(run.error) if run.error else meaning if not run.failed else f"{meaning}: {run.failed:,}"
    ago = f"<time>{words(int((now - run.ended_at).total_seconds()))} ago</time>"
    return [_text(run.work), ago, _span(run.seconds), f"{run.rows:,}", f'<span class="{grade}">{told}</span>']


def _text(text: str) -> str:
    return escape(mask_secrets(text))


def _time(at: datetime) -> str:
    return f"<time>{at:%Y-%m-%d %H:%M}</time>"


def _span(seconds: float) -> str:
    whole = max(int(seconds), 0)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    return words(whole) if whole >= _HOUR else f"{round(whole / _MINUTE)} min"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1_000:  # noqa: PLR2004  # a thousand of one is one of the next
            return f"{number:.3g} {unit}"
        number /= 1_000
    return f"{number:,.3g} TB"
