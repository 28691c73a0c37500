"""--namespace, which the commands that look at a run take as well."""

from __future__ import annotations

from absl import flags

NAMESPACE = flags.DEFINE_string("namespace", "shardline", "Kubernetes namespace.")
