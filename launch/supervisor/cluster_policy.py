"""Simulates, from a manifest, what Kubernetes does when a pod ends.

The rules are those of the Job controller (KEP-3329 podFailurePolicy, KEP-3850 backoffLimitPerIndex,
KEP-3998 successPolicy) and of JobSet (KEP-262 failure policy). A drained or preempted pod has the
condition DisruptionTarget.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

# What happens next.
REPLACE, RESTART_ALL, FAIL, SUCCEED, WAIT = "replace", "restart-all", "fail", "succeed", "wait"


@dataclasses.dataclass(frozen=True)
class Decision:
    """What the cluster does when a pod has ended, and whether it counts the failure."""

    action: str
    counted: bool
    message: str


class JobPolicy:
    """An Indexed Job: pods are replaced one by one."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._spec = job["spec"]
        self.failures: dict[int, int] = {}
        self._succeeded: set[int] = set()

    @property
    def counted(self) -> int:
        """The number of failures counted so far, of all ranks."""
        return sum(self.failures.values())

    def ended(self, index: int, code: int, disrupted: bool = False) -> Decision:
        """A pod ended, with its exit code as a shell reports it."""
        if code == 0:
            return _complete(self._spec, self._succeeded, index)
        number, rule = first_rule(self._spec, code, disrupted)
        action = rule.get("action", "Count")
        why = f"exit code {code}" + (f" matches {action} at rule {number}" if rule else "")
        if action == "FailJob":
            return Decision(FAIL, False, why)
        if action == "Ignore":
            return Decision(REPLACE, False, why)
        self.failures[index] = self.failures.get(index, 0) + 1
        if "backoffLimitPerIndex" in self._spec:
            over = self.failures[index] > self._spec["backoffLimitPerIndex"]
        else:
            over = self.counted > self._spec.get("backoffLimit", 6)
        if over:
            return Decision(FAIL, True, f"{why}, beyond the backoff limit")
        return Decision(REPLACE, True, why)


class JobSetPolicy:
    """A JobSet of one Job: all pods are recreated, except those that lost a peer."""

    def __init__(self, jobset: dict[str, Any]) -> None:
        self._set = jobset["spec"]
        self._spec = self._set["replicatedJobs"][0]["template"]["spec"]
        self._succeeded: set[int] = set()
        self.counted = 0

    def ended(self, index: int, code: int, disrupted: bool = False) -> Decision:
        """A pod ended, with its exit code as a shell reports it."""
        if code == 0:
            return _complete(self._spec, self._succeeded, index)
        if first_rule(self._spec, code, disrupted)[1].get("action") == "Ignore":
            return Decision(REPLACE, False, f"exit code {code} matches Ignore")
        reason, message = self._job_failure(index, code, disrupted)
        self._succeeded.clear()
        policy = self._set["failurePolicy"]
        for rule in policy.get("rules", ()):
            reasons = rule.get("onJobFailureReasons") or [reason]
            patterns = rule.get("onJobFailureMessagePatterns") or [".*"]
            if reason not in reasons or not any(re.fullmatch(p, message) for p in patterns):
                continue
            if rule["action"] == "FailJobSet":
                return Decision(FAIL, False, f"{message} (rule {rule['name']})")
            if rule["action"] == "RestartJobSetAndIgnoreMaxRestarts":
                return Decision(RESTART_ALL, False, f"{message} (rule {rule['name']})")
        self.counted += 1
        if self.counted > policy.get("maxRestarts", 0):
            return Decision(FAIL, True, f"{message}, beyond maxRestarts")
        return Decision(RESTART_ALL, True, message)

    def _job_failure(self, index: int, code: int, disrupted: bool) -> tuple[str, str]:
        """Reason and message of the child Job's condition, as the Job controller writes them."""
        number, rule = first_rule(self._spec, code, disrupted)
        if rule.get("action") != "FailJob":
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        if "onExitCodes" in rule:
            what = f"Container {rule['onExitCodes'].get('containerName')} for pod {index}"
            words = f"{what} failed with exit code {code} matching FailJob rule at index {number}"
        else:
            what = f"Pod {index} has condition DisruptionTarget"
            words = f"{what} matching FailJob rule at index {number}"
        return "PodFailurePolicy", words


def first_rule(job: dict[str, Any], code: int, disrupted: bool) -> tuple[int, dict[str, Any]]:
    """Number and text of the first rule that matches; an empty one if none does."""
    for number, rule in enumerate((job.get("podFailurePolicy") or {}).get("rules", ())):
        wanted = rule.get("onPodConditions") or ()
        if disrupted and any(c.get("type") == "DisruptionTarget" for c in wanted):
            return number, rule
        codes = rule.get("onExitCodes")
        if codes and (code in codes["values"]) == (codes["operator"] == "In"):
            return number, rule
    return -1, {}


def _complete(job: dict[str, Any], succeeded: set[int], index: int) -> Decision:
    """One more index is complete, and possibly all that have to be."""
    succeeded.add(index)
    wanted = _indexes(job)
    if wanted <= succeeded:
        return Decision(SUCCEED, False, f"index {_join(wanted)} succeeded")
    return Decision(WAIT, False, f"index {index} is complete")


def _indexes(job: dict[str, Any]) -> set[int]:
    """The indexes that have to succeed: those of the success policy, or all."""
    for rule in (job.get("successPolicy") or {}).get("rules", ()):
        if "succeededIndexes" in rule:
            return {i for part in rule["succeededIndexes"].split(",") for i in _range(part)}
    return set(range(job["completions"]))


def _range(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def _join(indexes: set[int]) -> str:
    return ",".join(map(str, sorted(indexes)))
