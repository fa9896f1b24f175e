"""The coverage of the last weeks as a daemon shows it to its operator: of a large fleet the plants that lack most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from harvester.config import Config
from harvester.plan import Scope
from harvester.questions.asking import Question, covered_rows
from harvester.questions.coverage_page import page
from harvester.questions.standing import Share

DAYS = 30
MOST = 100
"""Plants that one page shows: making it takes time, and nobody looks at thousands."""


def coverage_overview(config: Config, scope: Scope, shares: Sequence[Share], *, now: datetime) -> str:
    """Return the page about the last `DAYS` days of what *scope* selects, as of *now* (aware UTC); blocks a while.

    Of more than `MOST` plants it shows those whose *shares* of settled days are lowest.
    """
    shown, note = scope, ""
    if len(shares) > MOST:
        worst = sorted(shares, key=lambda each: (each.share is None, each.share, each.plant_id))[:MOST]
        shown = replace(scope, plants=frozenset(each.plant_id for each in worst))
        note = (
            f"Shown are the {MOST:,} of {len(shares):,} plants of which least is settled; "
            "`harvester coverage --html FILE` shows all."
        )
    question = Question(scope=shown, first=now.date() - timedelta(days=DAYS))
    return page(covered_rows(config, question), now=now, note=note)
