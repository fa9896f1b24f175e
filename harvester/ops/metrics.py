"""What a daemon did, as numbers for Prometheus; sole importer of prometheus_client.

Names, types and labels are an interface: rules and dashboards outside are written against them. Whoever does work
tells of it once lake and ledger are durable; nothing here is counted before.
"""

from __future__ import annotations

from collections import Counter as Tallied
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from harvester.ops.gauges import Gauges
from harvester.questions.ages import PlantAge
from harvester.questions.standing import Share
from harvester.report import OK, Report
from harvester.sma.consent import ConsentState
from harvester.sma.tally import Call
from harvester.sma.wire import Kind

WORKS = ("live", "settle", "repair", "backfill", "orders", "discover", "consent", "housekeeping")
"""What a daemon does; any other name counts as OTHER."""
_ORDERED = frozenset({"run", "replay", "purge"})
"""Orders that are of no lane; a backfill or a repair is one, whoever asked for it."""
ALERT_KINDS = ("consent", "credentials", "stale", "disk", "quarantine", "rights", "unreachable")
OUTCOMES = {
    "ok": "ok",
    "redirect": "redirect",
    "Unreachable": "unreachable",
    "Untrusted": "unreachable",
    "TimedOut": "timed_out",
    "ServerTrouble": "server_trouble",
    "Throttled": "throttled",
    "BadBody": "bad_body",
    "NotFound": "not_found",
    "Forbidden": "forbidden",
    "Moved": "moved",
    "Rejected": "rejected",
}
"""How requests end, as the tally names it and as the label does."""
REFUSED = "credentials_refused"
"""A well-formed answer of the token endpoint that gives no token."""
CONSENTS = {state: state.name.lower() for state in ConsentState}
OTHER = "other"
MOST_TABLES = 200
"""Tables that get a label of their own: names come from the API, and a label must not grow without bound."""

_REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_RUN_SECONDS = (1, 5, 15, 60, 300, 900, 3_600, 14_400)
_RUN_OUTCOMES = ("complete", "incomplete", "interrupted", "broken")
_SLICES = ("answered", "empty", "failed", "not_asked")
_SETTLEMENTS = ("settled", "open", "failed")
_Sums = dict[tuple[str, str], int]
_MOST_KNOWN = 8
"""Reports that are followed at once: one for each lane that may be halted."""
_NOTIFIED = ("delivered", "failed", "dropped")


class Metrics:
    """The numbers of one process, in a registry of their own; counters start at 0 with every label value known."""

    def __init__(self, *, version: str = "", stale_seconds: float = 86_400.0) -> None:
        """*version* is the harvester's; a plant whose newest row is older than *stale_seconds* is stale."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._stale_seconds = stale_seconds
        self._tables: set[str] = set()
        self._known: list[tuple[Report, _Sums]] = []
        self._requests_and_work()
        self._results()
        self._gauges = Gauges(version)
        self._registry.register(_Told(self._gauges))
        ProcessCollector(registry=self._registry)

    def _requests_and_work(self) -> None:
        self._requests = self._counter("requests", "Requests that left, each try counted", "kind", "outcome")
        self._response_bytes = self._counter("response_bytes", "Decompressed bytes read from SMA", "kind")
        self._throttled = self._counter("throttled", "Answers with status 429")
        self._request_seconds = self._histogram(
            "request_duration_seconds",
            "Seconds from sending to the last byte, waiting for the budget not included",
            "kind",
            _REQUEST_SECONDS,
        )
        self._runs = self._counter("runs", "Pieces of work that ended", "work", "outcome")
        self._run_seconds = self._histogram(
            "run_duration_seconds", "Seconds that pieces of work with a report took", "work", _RUN_SECONDS
        )
        for kind in Kind:
            self._response_bytes.labels(kind.value)
            self._request_seconds.labels(kind.value)
            for outcome in (*OUTCOMES.values(), REFUSED, OTHER):
                self._requests.labels(kind.value, outcome)
        for work in (*WORKS, OTHER):
            self._run_seconds.labels(work)
            for outcome in _RUN_OUTCOMES:
                self._runs.labels(work, outcome)

    def _results(self) -> None:
        self._rows = self._counter("rows", "Rows received and durably merged into the lake", "table")
        self._plain = {
            "files": self._counter("files_written", "Parquet files replaced"),
            "bytes": self._counter("written_bytes", "Bytes of the Parquet files replaced"),
            "revisions": self._counter("revisions", "Values that SMA changed after their first delivery"),
            "quarantined": self._counter("quarantined", "Answers put aside because they could not be decoded"),
        }
        self._slices = self._counter("slices", "Planned requests for values by how they ended", "outcome")
        self._days = self._counter("series_days", "Series-days recorded in the ledger", "settlement")
        self._notified = self._counter("notifications", "Messages to the webhook by what became of them", "outcome")
        for counter, values in ((self._slices, _SLICES), (self._days, _SETTLEMENTS), (self._notified, _NOTIFIED)):
            for value in values:
                counter.labels(value)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"sma_harvester_{name}_total", documentation, labels, registry=self._registry)

    def _histogram(self, name: str, documentation: str, label: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"sma_harvester_{name}", documentation, (label,), buckets=buckets, registry=self._registry)

    def on_request(self, call: Call) -> None:
        """Count one request that came to an end; the hook of a client."""
        kind = call.kind.value
        self._requests.labels(kind, _outcome(call)).inc()
        self._response_bytes.labels(kind).inc(call.size)
        self._request_seconds.labels(kind).observe(call.seconds)
        if call.outcome == "Throttled":
            self._throttled.inc()

    def ran(self, work: str, report: Report) -> None:
        """Count a piece of *work* that gave a *report*, once what it tells of is in lake and ledger."""
        label = _work(work)
        outcome = "interrupted" if report.interrupted else "complete" if report.exit_code == OK else "incomplete"
        self._runs.labels(label, outcome).inc()
        self._run_seconds.labels(label).observe(report.seconds)
        self._gauges.ended(label, report.exit_code, report.ended_at, complete=outcome == "complete")
        self.came(report)
        self._known = [(other, sums) for other, sums in self._known if other is not report]
        self._slices.labels("answered").inc(report.answered - report.empty)
        self._slices.labels("empty").inc(report.empty)
        self._slices.labels("failed").inc(len(report.misses))
        self._slices.labels("not_asked").inc(report.not_asked.total())

    def came(self, report: Report) -> None:
        """Count what has become durable of work that goes on, since it was last told of the same *report*.

        For work that takes days, and for what an error ended; to be called on the loop that fills the report.
        """
        before = next((sums for known, sums in self._known if known is report), {})
        sums = _sums(report)
        self._known = [*((known, each) for known, each in self._known if known is not report), (report, sums)]
        self._known = self._known[-_MOST_KNOWN:]
        for (name, label), number in sums.items():
            more = number - before.get((name, label), 0)
            if name == "rows":
                self._rows.labels(self._table(label)).inc(more)
            elif name == "days":
                self._days.labels(label).inc(more)
            else:
                self._plain[name].inc(more)

    def did(self, work: str, seconds: float, ended_at: datetime, *, exit_code: int = OK) -> None:
        """Count a piece of *work* that has no report (consent, housekeeping) and came to its end."""
        label, complete = _work(work), exit_code == OK
        self._runs.labels(label, "complete" if complete else "incomplete").inc()
        self._run_seconds.labels(label).observe(seconds)
        self._gauges.ended(label, exit_code, ended_at, complete=complete)

    def broke(self, work: str) -> None:
        """Count a piece of *work* that an error ended."""
        self._runs.labels(_work(work), "broken").inc()
        self._gauges.broke(_work(work))

    def notified(self, outcome: str) -> None:
        """Count a message to the webhook: delivered, failed or dropped."""
        self._notified.labels(outcome).inc()

    def budget(self, *, limit: int | None, spent: int, pause_left: float) -> None:
        """Tell what one window allows (None: not known), what of it is spent, and the seconds a pause still lasts."""
        left = None if limit is None else max(limit - spent, 0)
        self._gauges.tell(
            budget_limit_requests=limit,
            budget_spent_requests=spent,
            budget_left_requests=left,
            pause_seconds=pause_left,
        )

    def consents(self, by_state: Mapping[str, int]) -> None:
        """Tell how many owners are in each state, by SMA's words in any case; states not named have none."""
        counted: Tallied[str] = Tallied(dict.fromkeys((*CONSENTS.values(), OTHER), 0))
        for word, number in by_state.items():
            state = ConsentState(word)
            counted[CONSENTS[state] if state.value.lower() == word.lower() else OTHER] += number
        self._gauges.tell_by("consents", counted)

    def fresh(self, ages: Sequence[PlantAge]) -> None:
        """Tell how old the newest rows of all visible plants are."""
        self._gauges.fresh(ages, self._stale_seconds)

    def covered(self, shares: Sequence[Share]) -> None:
        """Tell how much of what ought to be settled is, for all visible plants."""
        self._gauges.covered(shares)

    def disk(self, free: int, total: int) -> None:
        """Tell the bytes of the lake's disk."""
        self._gauges.tell(disk_free_bytes=free, disk_total_bytes=total)

    def firing(self, by_kind: Mapping[str, int]) -> None:
        """Tell how many things of each kind need a person now; kinds it does not name have none."""
        counted: Tallied[str] = Tallied(dict.fromkeys((*ALERT_KINDS, OTHER), 0))
        for kind, number in by_kind.items():
            counted[kind if kind in ALERT_KINDS else OTHER] += number
        self._gauges.tell_by("alerts_firing", counted)

    def render(self) -> tuple[bytes, str]:
        """Return the numbers as Prometheus reads them, and the content type; may be called in a thread."""
        return generate_latest(_Lean(self._registry)), CONTENT_TYPE_LATEST

    def _table(self, name: str) -> str:
        if name not in self._tables and len(self._tables) >= MOST_TABLES:
            return OTHER
        self._tables.add(name)
        return name


class _Told(Collector):
    """What the gauges say, in Prometheus' own words."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every gauge."""
        for told in self._gauges.families():
            family = GaugeMetricFamily(f"sma_harvester_{told.name}", told.documentation, labels=told.labels)
            for values, number in told.samples:
                family.add_metric(values, number)
            yield family


class _Lean(Collector):
    """What a registry holds, but for the times when counters were made, each a series that nobody asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _outcome(call: Call) -> str:
    if call.kind is Kind.TOKEN and call.outcome == "ok" and (call.status or 0) >= HTTPStatus.BAD_REQUEST:
        return REFUSED
    return OUTCOMES.get(call.outcome, OTHER)


def _work(name: str) -> str:
    return name if name in WORKS else "orders" if name in _ORDERED else OTHER


def _sums(report: Report) -> _Sums:
    """Return what of *report* is in lake and ledger by now; none of it ever shrinks."""
    return {
        **{("rows", table): rows for table, rows in report.rows.items()},
        ("files", ""): report.files,
        ("bytes", ""): report.bytes_written,
        ("revisions", ""): report.revisions,
        ("quarantined", ""): report.quarantined,
        ("days", "settled"): report.days_settled,
        ("days", "open"): report.days_open,
        ("days", "failed"): sum(miss.days for miss in report.misses),
    }
