"""What workers that train together need of a Job, which no public linter knows."""

from __future__ import annotations

import json
import re
from typing import Any

from launch.exit_codes import NEVER_RETRIED, RESTART
from launch.lint.rule import Bundle, Found, Object, Pod, Rule

SPOT = "cloud.google.com/gke-spot"
SPOT_GRACE_SECONDS = 15  # what Google's spot nodes leave an ordinary pod of their 30


def gang_pods(bundle: Bundle) -> list[tuple[Pod, list[str]]]:
    """Pods of Jobs with TF_CONFIG, and the worker addresses in it."""
    found = []
    for pod in bundle.pods():
        if pod.job is None:
            continue
        for container in pod.containers():
            value = next((str(e.get("value", "")) for e in container.get("env", ())
                          if e.get("name") == "TF_CONFIG"), "")  # fmt: skip
            if value:
                found.append((pod, _workers(value)))
    return found


def as_many_as_named(bundle: Bundle) -> Found:
    """As many pods as TF_CONFIG names, or some wait for ever."""
    for pod, workers in gang_pods(bundle):
        job = pod.job or {}
        counts = {job.get("parallelism"), job.get("completions"), len(workers)}
        if len(counts) > 1:
            yield (
                pod,
                (
                    f"parallelism {job.get('parallelism')}, completions {job.get('completions')} "
                    f"and the {len(workers)} workers of TF_CONFIG differ"
                ),
            )


def hosts_are_the_pods(bundle: Bundle) -> Found:
    """TF_CONFIG names each pod by the name the cluster gives it, and a headless Service."""
    headless = {
        o["metadata"]["name"]
        for o in bundle.of_kind("Service")
        if (o.get("spec") or {}).get("clusterIP") == "None"
        and (o.get("spec") or {}).get("publishNotReadyAddresses") is True
    }
    for pod, workers in gang_pods(bundle):
        name = pod.owner.get("metadata", {}).get("name", "")
        is_set = pod.owner.get("kind") == "JobSet"
        network = (pod.owner.get("spec") or {}).get("network") or {}
        domain = network.get("subdomain", name) if is_set else pod.spec.get("subdomain", "")
        stem = f"{name}-worker-0" if is_set else name
        hosts = [worker.rpartition(":")[0] for worker in workers]
        expected = [f"{stem}-{rank}.{domain}" for rank in range(len(workers))]
        if hosts != expected:
            yield pod, f"TF_CONFIG names {', '.join(hosts[:2])}, ...; the pods are {expected[0]}"
        publishes = network.get("publishNotReadyAddresses", True) if is_set else domain in headless
        if not publishes:
            yield pod, f"no headless Service '{domain}' that publishes pods before they are ready"


def one_life_together(bundle: Bundle) -> Found:
    """Failures are counted for each rank, and pods are not restarted where they stand."""
    for pod, workers in gang_pods(bundle):
        job = pod.job or {}
        if job.get("completionMode") != "Indexed":
            yield pod, "completionMode is not Indexed: no rank knows its number"
        if pod.spec.get("restartPolicy") != "Never":
            yield pod, "restartPolicy is not Never: podFailurePolicy does not apply"
        in_set = pod.owner.get("kind") == "JobSet"
        if len(workers) > 1 and not in_set and job.get("backoffLimit", 6):
            if "backoffLimit" in job:
                yield pod, "backoffLimit counts one fault once for every worker"
            elif "backoffLimitPerIndex" not in job:
                yield pod, "backoffLimitPerIndex is not set"
        if in_set and job.get("backoffLimit") != 0:
            yield pod, "backoffLimit of a JobSet's Job is not 0: the set restarts all together"


def exit_codes_agree(bundle: Bundle) -> Found:
    """The contract of exit codes, in the manifest as in the trainer."""
    for pod, _ in gang_pods(bundle):
        actions = _actions(pod)
        for code in NEVER_RETRIED:
            if actions.get(code) != "FailJob":
                yield pod, f"exit code {code} is {actions.get(code, 'counted')}, not FailJob"
        wanted = "FailJob" if pod.owner.get("kind") == "JobSet" else "Ignore"
        if actions.get(RESTART) != wanted:
            yield pod, f"exit code {RESTART} is {actions.get(RESTART, 'counted')}, not {wanted}"


def ends_some_day(bundle: Bundle) -> Found:
    """Restarts that are not counted need a ceiling."""
    for pod, _ in gang_pods(bundle):
        if not (pod.job or {}).get("activeDeadlineSeconds"):
            yield pod, "activeDeadlineSeconds is not set: uncounted restarts would have no end"


def time_to_save(bundle: Bundle) -> Found:
    """A spot node does not wait longer than it says."""
    for pod in bundle.pods():
        spot = (pod.spec.get("nodeSelector") or {}).get(SPOT) == "true"
        grace = pod.spec.get("terminationGracePeriodSeconds", 30)
        if pod.job is not None and spot and grace > SPOT_GRACE_SECONDS:
            yield pod, f"a grace of {grace} s on spot nodes, which give {SPOT_GRACE_SECONDS} s"


def _workers(value: str) -> list[str]:
    try:
        config: Object = json.loads(re.sub(r"\$\([^)]+\)", "0", value))
        return list(config["cluster"]["worker"])
    except (ValueError, KeyError, TypeError):
        return []


def _actions(pod: Pod) -> dict[int, str]:
    """Exit code -> the action of the first rule that names it."""
    found: dict[int, str] = {}
    rules: list[Any] = ((pod.job or {}).get("podFailurePolicy") or {}).get("rules", [])
    for rule in rules:
        codes = rule.get("onExitCodes") or {}
        if codes.get("operator") == "In":
            for code in codes.get("values", ()):
                found.setdefault(code, rule.get("action", ""))
    return found


RULES = (
    Rule("gang-size", as_many_as_named),
    Rule("gang-hosts", hosts_are_the_pods),
    Rule("gang-restart", one_life_together),
    Rule("gang-exit-codes", exit_codes_agree),
    Rule("gang-deadline", ends_some_day),
    Rule("spot-grace", time_to_save),
)
