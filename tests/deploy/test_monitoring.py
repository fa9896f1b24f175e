"""compose/: the stack, Prometheus' rules and Grafana's dashboard fit each other and the metrics that there are."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from deployed import DEPLOY, STATE, complaints, documents, image, within

from harvester.config import Config, load
from harvester.ops.metrics import Metrics
from harvester.ops.web import USER

FOLDER = DEPLOY / "compose"
[COMPOSE] = documents(FOLDER / "compose.yaml")
[PROMETHEUS] = documents(FOLDER / "prometheus/prometheus.yml")
[ALERTS] = documents(FOLDER / "prometheus/alerts.yml")
DASHBOARD = json.loads((FOLDER / "grafana/dashboards/sma-harvester.json").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OF_THE_TARGET = {"job", "instance"}
"""Labels that Prometheus adds."""
ENDS = ("_bucket", "_sum", "_count")
OF_PROMETHEUS = {"up"}
"""Made by Prometheus itself for each target."""
FUNCTIONS = {
    *("time", "sum", "min", "max", "rate", "increase", "delta", "topk", "bottomk", "histogram_quantile"),
    *("predict_linear", "min_over_time"),
}
WORDS = {*FUNCTIONS, *("by", "on", "group_left", "ignoring", "unless", "or", "and")}


def expressions() -> Iterator[tuple[str, str]]:
    """Yield where each expression stands, and the expression."""
    yield from ((rule["alert"], rule["expr"]) for rule in RULES)
    yield from ((panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"])


EXPRESSIONS = list(expressions())


def exported() -> tuple[set[str], dict[tuple[str, str], set[str]]]:
    """Return the names of the series that a harvester exports, and the values of the labels of each."""
    metrics = Metrics()
    metrics.consents({})
    metrics.firing({})
    metrics.covered([])
    metrics.did("live", 1.0, datetime(2026, 10, 5, tzinfo=UTC))
    text = metrics.render()[0].decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, flags=re.MULTILINE))
    names = set(types)
    names |= {f"{name}{end}" for name, kind in types.items() if kind == "histogram" for end in ENDS}
    labels: dict[tuple[str, str], set[str]] = {}
    for name, inside in re.findall(r"^(\w+)\{(.*)\} \S+$", text, flags=re.MULTILINE):
        for label, value in re.findall(r'(\w+)="([^"]*)"', inside):
            labels.setdefault((name, label), set()).add(value)
    return names, labels


def names_in(expression: str) -> set[str]:
    """Return the names of the series that *expression* reads."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", expression)
    bare = re.sub(r"\b(by|on|ignoring|group_left)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"\b[a-z_]\w*\b", bare)) - WORDS


class TestSchemas:
    """Against the fields that their programs document."""

    @pytest.mark.parametrize(
        ("document", "schema"),
        [
            (COMPOSE, "compose.json"),
            (PROMETHEUS, "prometheus.json"),
            (ALERTS, "alerts.json"),
            (DASHBOARD, "dashboard.json"),
        ],
        ids=["compose", "prometheus", "alerts", "dashboard"],
    )
    def test_each_file_is_taken(self, document: Any, schema: str) -> None:
        """No key that there is not, none of the wrong type."""
        assert complaints(document, schema) == []

    @pytest.mark.parametrize(("key", "value"), [("readonly", True), ("ports", [8651]), ("restart", "sometimes")])
    def test_a_mistake_is_seen(self, key: str, value: object) -> None:
        """The schema of compose files bites."""
        spoiled = {**COMPOSE, "services": {"harvester": {**SERVICES["harvester"], key: value}}}

        assert complaints(spoiled, "compose.json") != []


class TestCompose:
    """The stack."""

    def test_what_is_mounted_is_there(self) -> None:
        """Files of the repository exist, but for the configuration and the secrets that an operator makes."""
        mounted = {volume.split(":")[0] for volume in within(SERVICES, "volumes") for volume in volume}
        files = {name for name in mounted if name.startswith("./")}
        ignored = (FOLDER / ".gitignore").read_text(encoding="utf-8").split()

        assert {name for name in files if not (FOLDER / name).exists()} == {"./harvester.toml"}
        assert mounted - files == COMPOSE["volumes"].keys()
        assert ignored == ["/secrets/", "/harvester.toml"]
        assert {secret["file"].rpartition("/")[0] for secret in COMPOSE["secrets"].values()} == {"./secrets"}
        build = SERVICES["harvester"]["build"]
        assert ((FOLDER / build["context"]).resolve() / build["dockerfile"]) == DEPLOY / "container/Dockerfile"

    def test_secrets_are_files_that_each_service_declares(self) -> None:
        """Every /run/secrets path is a secret of the service, and every secret is used."""
        for service in SERVICES.values():
            paths = re.findall(r"/run/secrets/(\w+)", json.dumps(service))
            assert set(paths) <= set(service.get("secrets", ()))
        used = {name for service in SERVICES.values() for name in service.get("secrets", ())}

        assert used == COMPOSE["secrets"].keys()
        assert PROMETHEUS["scrape_configs"][0]["basic_auth"] == {
            "username": USER,
            "password_file": "/run/secrets/operator_password",
        }
        assert "operator_password" in SERVICES["prometheus"]["secrets"]

    def test_its_variables_are_a_configuration(self, tmp_path: Path) -> None:
        """With the image's own ones; what Prometheus scrapes is where it listens; data go into the volume."""
        (tmp_path / "secret").write_text("s")
        given = dict(SERVICES["harvester"]["environment"])
        assert given.pop("HARVESTER_CONFIG") == "/etc/sma-harvester/harvester.toml"
        files = {name: str(tmp_path / "secret") if name.endswith("_FILE") else value for name, value in given.items()}
        config = load(None, environ=files)
        port = config.web.operator.rpartition(":")[2]

        assert config.web.operator_password is not None
        assert PROMETHEUS["scrape_configs"][0]["static_configs"] == [{"targets": [f"harvester:{port}"]}]
        assert f"127.0.0.1:{port}:{port}" in SERVICES["harvester"]["ports"]
        assert f"harvester:{STATE}" in SERVICES["harvester"]["volumes"]
        assert port == Config().web.operator.rpartition(":")[2]

    def test_nobody_else_reaches_it(self) -> None:
        """Ports on loopback only, no capability, no new rights, bounded memory; the harvester's files are read-only."""
        for service in SERVICES.values():
            assert all(port.startswith("127.0.0.1:") for port in service["ports"])
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["mem_limit"]
        assert SERVICES["harvester"]["read_only"] is True
        assert int(SERVICES["harvester"]["stop_grace_period"].removesuffix("s")) > 10
        assert SERVICES["prometheus"]["group_add"] == [dict(image())["USER"].split(":")[1]]

    def test_images_of_others_have_a_version(self) -> None:
        """Nothing is `latest`."""
        others = [service["image"] for service in SERVICES.values() if "build" not in service]

        assert others
        assert all(re.search(r":v?\d+\.\d+\.\d+$", name) for name in others)


class TestProvisioning:
    """Grafana finds its data source and its dashboard by itself."""

    def test_the_data_source_is_the_stacks_prometheus(self) -> None:
        """By the service's name and the port that Prometheus has."""
        [file] = documents(FOLDER / "grafana/provisioning/datasources/prometheus.yml")
        [source] = file["datasources"]

        assert source["type"] == "prometheus"
        assert source["url"] == "http://prometheus:9090"
        assert source["isDefault"] is True
        assert SERVICES["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]

    def test_the_dashboards_folder_is_mounted(self) -> None:
        """Where the provider looks, and where the home page is."""
        [file] = documents(FOLDER / "grafana/provisioning/dashboards/harvester.yml")
        [provider] = file["providers"]
        place = provider["options"]["path"]

        assert f"./grafana/dashboards:{place}:ro" in SERVICES["grafana"]["volumes"]
        assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == (
            f"{place}/sma-harvester.json"
        )

    def test_panels_have_places_of_their_own(self) -> None:
        """Numbers are unique, no two panels overlap, and none reaches beyond the 24 columns."""
        taken: dict[tuple[int, int], str] = {}
        for panel in DASHBOARD["panels"]:
            at = panel["gridPos"]
            assert at["x"] + at["w"] <= 24
            for spot in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
                assert spot not in taken, (panel["title"], taken.get(spot))
                taken[spot] = panel["title"]

        assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


class TestExpressions:
    """PromQL of rules and panels reads what a harvester exports."""

    @pytest.mark.parametrize(("place", "expression"), EXPRESSIONS, ids=[place for place, _ in EXPRESSIONS])
    def test_every_series_and_label_value_exists(self, place: str, expression: str) -> None:
        """Names of metrics; values of labels, alternatives of a pattern included; brackets that close."""
        names, labels = exported()
        read = names_in(expression)

        assert read, place
        assert read - names - OF_PROMETHEUS == set()
        for name, inside in re.findall(r"(\w+)\{([^}]*)\}", expression):
            for label, value in re.findall(r'(\w+)\s*[=!]~?\s*"([^"]*)"', inside):
                if label not in OF_THE_TARGET:
                    assert set(value.split("|")) <= labels[name, label], (name, label)
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing)

    def test_the_jobs_name_is_the_one_that_is_scraped(self) -> None:
        """`job="harvester"` in an expression meets the configuration."""
        jobs = {job for _, expression in EXPRESSIONS for job in re.findall(r'job="(\w+)"', expression)}

        assert jobs == {each["job_name"] for each in PROMETHEUS["scrape_configs"]}

    def test_the_dashboard_shows_what_an_operator_looks_for(self) -> None:
        """Freshness, coverage, budget, requests by outcome, rows, consents, durations, disk."""
        shown = set().union(*(names_in(target["expr"]) for panel in PANELS for target in panel["targets"]))
        own = {name for name in exported()[0] if name.startswith("sma_harvester_")}
        told_otherwise = {"sma_harvester_last_run_timestamp_seconds"}
        missing = {
            name
            for name in own - shown - told_otherwise
            if not re.search(r"_(created|sum|count|build_info)$", name) and f"{name}_bucket" not in shown
        }

        assert missing == set()

    def test_rules_tell_what_to_do(self) -> None:
        """Each has a name of its own, a severity, what happened and what to do; the promised ones are there."""
        names = [rule["alert"] for rule in RULES]

        assert len(set(names)) == len(names)
        assert {rule["labels"]["severity"] for rule in RULES} <= {"critical", "warning"}
        assert {
            *("HarvesterStalePlants", "HarvesterBudgetExhausted", "HarvesterThrottled", "HarvesterConsentLost"),
            *("HarvesterNoSuccess", "HarvesterDiskFull", "HarvesterDown"),
        } <= set(names)
