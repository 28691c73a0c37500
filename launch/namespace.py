"""--namespace, which those commands take, too, that look at a run."""

from __future__ import annotations

from absl import flags

NAMESPACE = flags.DEFINE_string("namespace", "shardline", "Kubernetes namespace.")
