"""A build on Google's Dataflow, submitted from this machine."""

from __future__ import annotations

from launch.backends.kinds.kind import Kind

KIND = Kind(
    name="dataflow",
    description="a build on Google's Dataflow",
    verbs=("preprocess",),
    implementation="launch.backends.local:Local",
    beam_options=("--runner=DataflowRunner",),
)
