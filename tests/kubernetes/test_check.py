"""`launch check` against a real server: it refuses for the reason for which the run would fail."""

from __future__ import annotations

import json

import pytest

from tests.kubernetes.cluster import ADMIN
from tests.kubernetes.runs import SECONDS, Team
from tests.launch.made import IMAGE


def check(team: Team, *flags: str, code: int = 78) -> dict[str, dict[str, str]]:
    """Results by name; the image's registry is not there, which is no failure."""
    process = team.alice.start("check", "train", "--backend=job", f"--image={IMAGE}", "--json",
                               f"--namespace={team.namespace}", "--name=fec", *flags,
                               "--", "--config=demo")  # fmt: skip
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == code, f"{out}{err}"
    return {result["name"]: result for result in json.loads(out)["checks"]}


def test_an_ordinary_run_of_an_ordinary_user_would_be_taken(team: Team):
    for backend in ("job", "jobset"):
        found = check(team, "--workers=2", f"--backend={backend}", code=0)
        assert found["dry run"]["state"] == "ok"
        assert "FAIL" not in {result["state"] for result in found.values()}
    assert not team.run("fec"), "it was only checked"


@pytest.mark.parametrize("hard", [{"requests.memory": "20Gi"}, {"pods": "1"}, {"cpu": "5"}])
def test_a_quota_that_can_never_be_kept_is_one_and_no_missing_right(team: Team, hard):
    team.set_quota(hard)
    found = check(team, "--workers=2")
    assert found["quota"]["state"] == "FAIL"
    assert next(iter(hard)) in found["quota"]["message"]


def test_a_quota_that_refuses_the_pod_is_no_missing_right(team: Team):
    team.set_quota({"limits.memory": "1Gi"})
    found = check(team)
    assert "exceeded quota" in found["dry run"]["message"]
    assert "quota" in found["dry run"]["remedy"]


def test_a_missing_service_account_is_one_and_no_missing_right(team: Team):
    found = check(team, "--service_account=nobody")
    assert found["account"]["state"] == "FAIL"
    assert "--service_account" in found["dry run"]["remedy"]


def test_secrets_are_looked_for_key_by_key_and_no_value_is_shown(team: Team):
    metadata = {"name": "tracker", "namespace": team.namespace}
    team.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
                        "stringData": {"token": "hunter2"}})  # fmt: skip
    assert check(team, "--secret=tracker:token:T", code=0)["secret"]["state"] == "ok"
    found = check(team, "--secret=tracker:key:T")
    assert "has no key 'key'" in found["secret"]["message"]
    assert "--secret=tracker:token:T" in found["secret"]["remedy"]
    assert "hunter2" not in json.dumps(found)
    assert "no Secret 'other'" in check(team, "--secret=other:key:T")["secret"]["message"]


def test_a_user_without_rights_is_told_which(team: Team):
    found = check(team, "--namespace=default")
    assert "cannot create resource" in found["dry run"]["message"]
    assert found["dry run"]["remedy"] == "ask for permission to create it"


def test_a_server_whose_certificate_is_not_trusted_is_told_at_once(team: Team):
    """Plain words, and no retries: it would not be trusted a second later either."""
    config = json.loads(team.cluster.kubeconfig(ADMIN).read_text())
    del config["clusters"][0]["cluster"]["certificate-authority"]
    team.alice.kubeconfig = team.alice.folder / "kubeconfig"
    team.alice.kubeconfig.write_text(json.dumps(config))
    said = team.alice.train("fec", code=69)
    assert "certificate is not trusted: self-signed certificate" in said
    assert said.count("\n") == 1
