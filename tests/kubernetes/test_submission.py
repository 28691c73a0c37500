"""Submitting: all of a run or nothing, one run of a name, and nothing on the submitting machine."""

from __future__ import annotations

from tests.kubernetes.cluster import Object
from tests.kubernetes.kubelet import End
from tests.kubernetes.runs import JOB, JOBSET, Team, conditions, finished, until
from tests.launch.made import IMAGE

# A folder that nobody can make, not even root.
NOWHERE = "/proc/none/run"


def service(team: Team, name: str) -> Object:
    return team.cluster.call("GET", f"/api/v1/namespaces/{team.namespace}/services/{name}")


def test_the_run_directory_of_a_cluster_is_not_made_on_the_laptop(team: Team):
    assert team.alice.train("fec", "--", f"--workdir={NOWHERE}") == "fec\n"
    assert team.alice.status("fec")["handle"] == f"job:{team.namespace}/fec"


def test_where_there_is_no_namespace_one_line_says_so_and_nothing_is_recorded(team: Team):
    said = team.admin.train("fec", "--namespace=nowhere", code=69)
    assert said.count("\n") == 1
    assert "not submitted" in said and "there is no namespace 'nowhere'" in said
    assert "no run 'fec'" in team.admin.launch("stop", "fec", code=64)
    assert team.admin.launch("list") == ""


def test_what_was_made_is_removed_where_a_later_object_is_refused(team: Team):
    name = "count/networkpolicies.networking.k8s.io"
    team.set_quota({name: "0"})
    said = team.alice.train("fec", code=69)
    assert "not submitted: NetworkPolicy" in said and "exceeded quota" in said
    until("the Job is gone", lambda: not team.run("fec"))
    team.set_quota({name: "5"})
    team.alice.train("fec")


def test_a_run_of_the_same_name_at_once_takes_nothing_of_the_run_before(team: Team):
    """Garbage collection of the first run must not take the second one's Service."""
    for backend in (JOB, JOBSET):
        name = f"again-{backend}"
        team.alice.train(name, "--workers=2", backend=backend)
        first = team.running(name, 2)
        team.alice.launch("stop", name)
        team.alice.train(name, "--workers=2", backend=backend)
        second = team.running(name, 2)
        assert not {p["metadata"]["uid"] for p in first} & {p["metadata"]["uid"] for p in second}
        owner = service(team, name)["metadata"]["ownerReferences"][0]["uid"]
        assert owner == team.run(name, backend)["metadata"]["uid"]


def test_own_code_is_a_config_map_that_is_deleted_with_the_run(team: Team):
    """Under `restricted` admission, and with no rights but those of the role `edit`."""
    mine = team.alice.folder / "mine"
    mine.mkdir()
    (mine / "losses.py").write_text("import shared\n")
    (mine / "shared.py").write_text("x = 'ä'\r\n", newline="")
    maps = f"/api/v1/namespaces/{team.namespace}/configmaps"
    for backend in (JOB, JOBSET):
        name = f"own-{backend}"
        reference = "--config.loss.name=mine/losses.py:f"
        team.alice.train(name, "--workers=2", "--", reference, backend=backend)
        pods = team.running(name, 2)
        made = team.cluster.call("GET", f"{maps}/{name}-own-code")
        assert sorted(made["data"].values()) == ["import shared\n", "x = 'ä'\r\n"]
        assert (
            made["metadata"]["ownerReferences"][0]["uid"]
            == (team.run(name, backend)["metadata"]["uid"])
        )
        for pod in pods:
            [volume] = [v for v in pod["spec"]["volumes"] if "configMap" in v]
            assert volume["configMap"]["name"] == f"{name}-own-code"
            [container] = pod["spec"]["containers"]
            assert "--config.loss.name=/own/mine/losses.py:f" in container["args"]
        (mine / "shared.py").write_text("x = 1\n")
        team.alice.launch("replay", name, f"--name={name}-2")
        again = team.cluster.call("GET", f"{maps}/{name}-2-own-code")
        assert again["data"] == made["data"]
        (mine / "shared.py").write_text("x = 'ä'\r\n", newline="")
        team.alice.launch("stop", name)
        until("the ConfigMap is gone", lambda maps=maps, name=name: f"{name}-own-code" not in {
            o["metadata"]["name"] for o in team.cluster.call("GET", maps)["items"]
        })  # fmt: skip


def test_a_run_that_is_over_makes_room_for_one_of_its_name(team: Team):
    team.alice.train("fec")
    team.end("fec", 1, 65)
    team.fails("fec")
    team.alice.train("fec", "--", "--config.seed=2")
    team.end("fec", 1, 0)
    until("it is done", lambda: "Complete" in conditions(team.run("fec")))


def test_a_name_that_somebody_else_has_is_refused_with_whose_it_is(team: Team):
    team.alice.train("fec")
    said = team.bob.train("fec", code=64)
    assert "is alice@" in said and "--name=OTHER" in said
    said = team.bob.train("fec", backend=JOBSET, code=64)
    assert "is alice@" in said


def test_of_two_who_submit_one_name_at_once_one_has_it(team: Team):
    flags = ("--backend=job", "--name=race", f"--image={IMAGE}", "--workers=2")
    words = (*flags, f"--namespace={team.namespace}", "--", "--config=demo")
    both = [person.start("train", *words) for person in (team.alice, team.bob)]
    for process in both:
        process.wait()
    codes = sorted(process.returncode for process in both)
    assert codes == [0, 64], [process.communicate() for process in both]
    loser = next(process for process in both if process.returncode)
    assert "is in use" in finished(loser, 64)
    team.running("race", 2)


def test_pods_that_cannot_be_made_are_told_by_status_and_why(team: Team):
    team.set_quota({"requests.memory": "1Gi"})
    team.alice.train("fec")
    until("the failure is told", lambda: "exceeded quota" in team.alice.status("fec")["detail"])
    assert "exceeded quota" in team.alice.launch("why", "fec")


def test_a_pod_ends_with_its_last_words(team: Team):
    team.alice.train("fec")
    team.kubelet.end(team.running("fec", 1)[0], End(78, "config.sed: no such key"))
    team.fails("fec")
    assert "rank 0 ended with 78: config.sed: no such key" in team.alice.launch("why", "fec")
