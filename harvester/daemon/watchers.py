"""Who watches a daemon for the operator: metrics, messages, and the look at fleet, owners and disk."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import timedelta

from harvester import __version__
from harvester.compose import Readable, scope_of, utc_now
from harvester.config import Config
from harvester.intake import Stores
from harvester.ops.alerts import Alerts
from harvester.ops.attention import Limits
from harvester.ops.contact import Contact
from harvester.ops.lookout import Lookout, Sources
from harvester.ops.metrics import Metrics
from harvester.ops.watching import Watching
from harvester.questions.standing import shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Watchers:
    """All of them; the alerts are to be closed on the loop that made them."""

    metrics: Metrics
    contact: Contact
    watching: Watching
    alerts: Alerts
    lookout: Lookout


def watchers(config: Config, stores: Stores, read: Readable) -> Watchers:
    """Return those of one daemon, on the running loop."""
    metrics = Metrics(version=__version__, stale_seconds=3600 * config.alerts.stale_hours)
    contact, alerts = Contact(utc_now), _alerts(config, stores, metrics)
    return Watchers(
        metrics=metrics,
        contact=contact,
        watching=Watching(metrics, utc_now, on_purged=alerts.read_again),
        alerts=alerts,
        lookout=_lookout(config, stores, read, metrics, alerts, contact),
    )


def _alerts(config: Config, stores: Stores, metrics: Metrics) -> Alerts:
    url = config.alerts.webhook_url
    return Alerts(
        url.get_secret_value() if url else None,
        stores.ledger,
        host=socket.gethostname(),
        wall=utc_now,
        notified=metrics.notified,
    )


def _lookout(
    config: Config, stores: Stores, read: Readable, metrics: Metrics, alerts: Alerts, contact: Contact
) -> Lookout:
    scope, settle_after = scope_of(config), timedelta(days=config.harvest.settle_days)
    sources = Sources(
        inventory=read.inventory,
        history=read.history,
        owners=stores.owners,
        quarantine=stores.quarantine,
        root=config.lake.root,
        scope=scope,
        live_sets=config.harvest.live_sets,
        shares=lambda now: shares(read.history, scope, config.harvest.since, settle_after=settle_after, now=now),
    )
    limits = Limits(
        stale_hours=config.alerts.stale_hours,
        pending_days=config.alerts.pending_days,
        disk_free_percent=config.alerts.disk_free_percent,
        silence_seconds=config.alerts.silence_windows * config.rate.window_seconds,
    )
    return Lookout(sources, metrics=metrics, alerts=alerts, contact=contact, wall=utc_now, limits=limits)
