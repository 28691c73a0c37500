"""What workers that train together need of a Job or JobSet, which no public linter knows."""

from __future__ import annotations

import json
import re
from typing import Any

from launch.quantity import amount
from preprocess.shell.exit_codes import FINAL, UNCOUNTED, ExitCode
from tests.launch.render.bundle import Bundle, Found, Object, Pod, Rule


def group_pods(bundle: Bundle) -> list[tuple[Pod, list[str]]]:
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
    for pod, workers in group_pods(bundle):
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
    for pod, workers in group_pods(bundle):
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


def restarted_together(bundle: Bundle) -> Found:
    """Failures are counted for each rank, and pods are not restarted where they stand."""
    for pod, workers in group_pods(bundle):
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
    for pod, _ in group_pods(bundle):
        actions = _actions(pod)
        for code in FINAL:
            if actions.get(code) != "FailJob":
                yield pod, f"exit code {code} is {actions.get(code, 'counted')}, not FailJob"
        in_set = pod.owner.get("kind") == "JobSet"
        for code in UNCOUNTED:
            wanted = "FailJob" if in_set and code == ExitCode.SAVED else "Ignore"
            if actions.get(code) != wanted:
                yield pod, f"exit code {code} is {actions.get(code, 'counted')}, not {wanted}"


def ends_some_day(bundle: Bundle) -> Found:
    """Restarts that are not counted need a ceiling."""
    for pod, _ in group_pods(bundle):
        if not (pod.job or {}).get("activeDeadlineSeconds"):
            yield pod, "activeDeadlineSeconds is not set: uncounted restarts would have no end"


def references_point_back(bundle: Bundle) -> Found:
    """`$(NAME)` expands names that come earlier, such as the rank in TF_CONFIG."""
    for pod in bundle.pods():
        for container in pod.containers():
            seen: set[str] = set()
            for variable in container.get("env", ()):
                value = str(variable.get("value", "")).replace("$$", "")
                for name in re.findall(r"\$\(([^)]+)\)", value):
                    if name not in seen:
                        yield pod, f"{variable['name']} uses $({name}) before it is set"
                seen.add(variable["name"])


def volumes_exist(bundle: Bundle) -> Found:
    """Each mount names a volume, and each volume is mounted."""
    for pod in bundle.pods():
        there = {volume.get("name") for volume in pod.spec.get("volumes", ())}
        used = {m.get("name") for c in pod.containers() for m in c.get("volumeMounts", ())}
        for name in sorted(used ^ there):
            yield pod, f"the volume '{name}' is mounted and not there, or the other way round"


def shared_memory_fits(bundle: Bundle) -> Found:
    """Memory-backed volumes count against the container's limit."""
    for pod in bundle.pods():
        memory = sum(
            amount(volume["emptyDir"].get("sizeLimit", "0"))
            for volume in pod.spec.get("volumes", ())
            if (volume.get("emptyDir") or {}).get("medium") == "Memory"
        )
        for container in pod.containers():
            limits = (container.get("resources") or {}).get("limits") or {}
            if memory and memory >= amount(limits.get("memory", "0")):
                yield pod, "volumes in memory are as large as the memory limit"


def names_fit(bundle: Bundle) -> Found:
    """JobSet's webhook refuses other names of failure-policy rules."""
    for jobset in bundle.of_kind("JobSet"):
        for rule in jobset["spec"]["failurePolicy"].get("rules", ()):
            if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"]):
                yield jobset, f"the rule name '{rule['name']}' has other than letters, digits, _,:"


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
    Rule("group-size", as_many_as_named),
    Rule("group-hosts", hosts_are_the_pods),
    Rule("group-restart", restarted_together),
    Rule("group-exit-codes", exit_codes_agree),
    Rule("group-deadline", ends_some_day),
    Rule("reference-order", references_point_back),
    Rule("dangling-volume", volumes_exist),
    Rule("shared-memory-below-limit", shared_memory_fits),
    Rule("jobset-rule-names", names_fit),
)
