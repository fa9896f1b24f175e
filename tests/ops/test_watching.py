"""What a daemon does reaches the metrics, the status and, once per trouble, the log."""

from datetime import timedelta

from present import Present
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from harvester.errand import Done
from harvester.errors import CredentialsRefused
from harvester.ops.metrics import Metrics
from harvester.ops.watching import KEPT, Watching
from harvester.report import Report


def runs(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Return how often work ended, by work and outcome, where it did."""
    families = text_string_to_metric_families(metrics.render()[0].decode())
    samples = next(family.samples for family in families if family.name == "sma_harvester_runs")
    return {(s.labels["work"], s.labels["outcome"]): s.value for s in samples if s.value}


def done(report: Report | None = None, *, exit_code: int = 0) -> Done:
    """Return what a piece of work came to."""
    return Done(exit_code=exit_code, facts={}, tell=lambda: None, report=report)


def test_what_ends_is_counted_and_shown() -> None:
    """With its report, or by its own time from the first turn on where it has none."""
    present, metrics = Present(2026, 5, 1, 12), Metrics()
    watching = Watching(metrics, present)
    report = Report("live", present(), ended_at=present() + timedelta(seconds=4))
    report.rows["plant_energy_balance"] = 24
    watching.began("live")
    watching.ended("live", done(report))
    watching.began("purge")
    present.advance(seconds=30)
    watching.began("purge")
    present.advance(seconds=30)
    watching.ended("purge", done())
    watching.ended("consent", done(exit_code=3))

    assert [(run.work, run.seconds, run.exit_code, run.rows) for run in watching.runs] == [
        ("consent", 0, 3, 0),
        ("purge", 60, 0, 0),
        ("live", 4, 0, 24),
    ]
    assert runs(metrics) == {("live", "complete"): 1, ("orders", "complete"): 1, ("consent", "incomplete"): 1}


def test_what_breaks_is_logged_once_and_once_when_it_works_again() -> None:
    """Each lane by itself, without secrets; the inside of a mistake of ours is not shown."""
    present, metrics = Present(2026, 5, 1, 12), Metrics()
    watching = Watching(metrics, present)
    with capture_logs() as lines:
        for _ in range(3):
            watching.broke("live", CredentialsRefused("refused with client_secret=abcdefgh12345678"))
        watching.broke("settle", KeyError("inside"))
        watching.ended("live", done())
        watching.ended("live", done())

    assert [(line["event"], line["what"]) for line in lines] == [
        ("trouble.began", "work.live"),
        ("trouble.began", "work.settle"),
        ("trouble.over", "work.live"),
    ]
    assert lines[0]["reason"] == "refused with client_secret=***"
    errors = {(run.work, run.exit_code, run.error) for run in watching.runs if run.error}
    assert errors == {("live", 4, "refused with client_secret=***"), ("settle", 1, "unexpected error: KeyError")}
    assert runs(metrics)["live", "broken"] == 3
    for _ in range(KEPT + 5):
        watching.ended("live", done())
    assert len(watching.runs) == KEPT
