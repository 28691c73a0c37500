"""Every rule, in the order in which findings are told."""

from __future__ import annotations

from launch.lint import gang, network, security, workload
from launch.lint.rule import Rule

RULES: tuple[Rule, ...] = (*security.RULES, *gang.RULES, *network.RULES, *workload.RULES)
