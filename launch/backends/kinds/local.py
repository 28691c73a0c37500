"""Processes of this machine."""

from __future__ import annotations

from launch.backends.kinds.kind import Kind

KIND = Kind(
    name="local",
    description="processes of this machine",
    verbs=("train", "search", "preprocess", "tensorboard"),
    implementation="launch.backends.local:Local",
    follows=True,
)
