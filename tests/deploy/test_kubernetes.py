"""kubernetes/: each manifest against the bundled schemas, and all of them against each other and the product."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed import DEPLOY, STATE, complaints, documents, image, within

from harvester import __version__
from harvester.config import load

FOLDER = DEPLOY / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


def objects() -> dict[str, Any]:
    """Return the manifests by their kind; each kind is there once."""
    found = [document for file in FILES for document in documents(file)]
    kinds = {document["kind"]: document for document in found}
    assert len(kinds) == len(found)
    return kinds


OBJECTS = objects()
PODS = {
    "Deployment": OBJECTS["Deployment"]["spec"]["template"],
    "CronJob": OBJECTS["CronJob"]["spec"]["jobTemplate"]["spec"]["template"],
}


class TestSchemas:
    """Against the fields that are documented."""

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_each_manifest_is_taken(self, file: Path) -> None:
        """No field that there is not, none of the wrong type, none missing."""
        assert [
            complaint for document in documents(file) for complaint in complaints(document, "kubernetes.json")
        ] == []

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("replicas: 1", "replicas: one"),
            ("replicas: 1", "replica: 1"),
            ("readOnlyRootFilesystem", "readonlyRootFilesystem"),
            ("memory: 512Mi", "memory: 512 MB"),
            ("containerPort: 8651", "containerPort: 86510"),
            ("type: Recreate", "type: Restart"),
            ("kind: Deployment", "kind: Deploiment"),
            ("claimName: harvester", "claim: harvester"),
        ],
    )
    def test_a_mistake_is_seen(self, before: str, after: str) -> None:
        """The schemas bite."""
        text = (FOLDER / "deployment.yaml").read_text(encoding="utf-8")
        assert before in text

        assert complaints(yaml.safe_load(text.replace(before, after, 1)), "kubernetes.json") != []

    def test_the_kustomization_lists_all_but_the_secret(self) -> None:
        """A secret without values must not be applied over a real one."""
        listed = set(OBJECTS["Kustomization"]["resources"])

        assert listed == {file.name for file in FILES} - {"kustomization.yaml", "secret.example.yaml"}


class TestPods:
    """Both Pods: closed, and alike in what they see."""

    @pytest.mark.parametrize("kind", PODS)
    def test_it_is_closed(self, kind: str) -> None:
        """The image's user, nothing to write on but its volumes, no capability, no token of the cluster."""
        spec = PODS[kind]["spec"]
        [container] = spec["containers"]
        user = int(dict(image())["USER"].split(":")[0])

        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == user
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["automountServiceAccountToken"] is False
        assert spec["terminationGracePeriodSeconds"] > 10
        assert set(container["resources"]["limits"]) == {"memory"}

    @pytest.mark.parametrize("kind", PODS)
    def test_what_it_mounts_is_there(self, kind: str) -> None:
        """Every mount has its volume, every volume its object, every secret file its key."""
        spec = PODS[kind]["spec"]
        [container] = spec["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        files = [each["value"] for each in container["env"] if each["name"].endswith("_FILE")]

        assert mounts.keys() == volumes.keys()
        assert mounts["data"] == str(STATE) == dict(image())["VOLUME"]
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] == name("PersistentVolumeClaim")
        assert volumes["config"]["configMap"]["name"] == name("ConfigMap")
        assert volumes["secrets"]["secret"]["secretName"] == name("Secret")
        assert {Path(file).parent for file in files} == {Path(mounts["secrets"])}
        assert {Path(file).name for file in files} <= OBJECTS["Secret"]["stringData"].keys()

    @pytest.mark.parametrize("kind", PODS)
    def test_its_configuration_is_taken(self, kind: str, tmp_path: Path) -> None:
        """The file of the ConfigMap, with the secrets as files: what the container will read."""
        [container] = PODS[kind]["spec"]["containers"]
        [(file, text)] = OBJECTS["ConfigMap"]["data"].items()
        (tmp_path / file).write_text(text)
        (tmp_path / "secret").write_text("s")
        given = {each["name"]: each["value"] for each in container["env"]}
        assert Path(given.pop("HARVESTER_CONFIG")).name == file
        config = load(tmp_path / file, environ={variable: str(tmp_path / "secret") for variable in given})

        assert config.sma.environment == "production"
        assert config.sma.credentials().client_id == "s"
        assert config.web.operator_password is not None

    def test_both_are_one_image_of_this_version(self) -> None:
        """A job of another version could find a ledger that it does not know."""
        assert set(within(PODS, "image")) == {f"sma-harvester:{__version__}"}
        assert PODS["Deployment"]["spec"]["volumes"] == PODS["CronJob"]["spec"]["volumes"]


def name(kind: str) -> str:
    """Return the name of the object of this *kind*."""
    return str(OBJECTS[kind]["metadata"]["name"])


class TestTogether:
    """One lake, one writer, one port."""

    def test_one_daemon_at_a_time(self) -> None:
        """One replica that ends before its successor starts; a job never beside itself, and on the daemon's node."""
        deployment, job = OBJECTS["Deployment"]["spec"], OBJECTS["CronJob"]["spec"]
        [near] = PODS["CronJob"]["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]

        assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
        assert job["concurrencyPolicy"] == "Forbid"
        assert job["jobTemplate"]["spec"]["backoffLimit"] == 0
        assert near["labelSelector"]["matchLabels"] == deployment["selector"]["matchLabels"]
        assert OBJECTS["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteOnce"]

    def test_selectors_meet_the_daemon_and_not_the_job(self) -> None:
        """Deployment and Service select by labels that only the daemon's Pods have."""
        daemon, job = (set(PODS[kind]["metadata"]["labels"].items()) for kind in ("Deployment", "CronJob"))
        for selector in (
            OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"],
            OBJECTS["Service"]["spec"]["selector"],
        ):
            assert set(selector.items()) <= daemon
            assert not set(selector.items()) <= job
        policy = OBJECTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
        assert set(policy.items()) <= daemon & job

    def test_the_port_is_the_configured_one(self, tmp_path: Path) -> None:
        """Configuration, container, probes, Service, annotations and NetworkPolicy name one port."""
        (tmp_path / "harvester.toml").write_text(OBJECTS["ConfigMap"]["data"]["harvester.toml"])
        config = load(tmp_path / "harvester.toml", environ={"HARVESTER_WEB__OPERATOR_PASSWORD": "s"})
        port = int(config.web.operator.rpartition(":")[2])
        [container] = PODS["Deployment"]["spec"]["containers"]
        [exposed] = container["ports"]
        probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
        [served] = OBJECTS["Service"]["spec"]["ports"]
        [ingress] = OBJECTS["NetworkPolicy"]["spec"]["ingress"]

        assert exposed["containerPort"] == served["port"] == ingress["ports"][0]["port"] == port
        assert {probe["port"] for probe in probes.values()} == {served["targetPort"]} == {exposed["name"]}
        assert {kind: probe["path"] for kind, probe in probes.items()} == {
            "startup": "/healthz",
            "liveness": "/healthz",
            "readiness": "/readyz",
        }
        assert PODS["Deployment"]["metadata"]["annotations"]["prometheus.io/port"] == str(port)

    def test_the_secret_holds_no_value(self) -> None:
        """Names only."""
        assert set(OBJECTS["Secret"]["stringData"].values()) == {""}
