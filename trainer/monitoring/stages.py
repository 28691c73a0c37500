"""The stages that a training step's time is divided among, by the names that verdicts use."""

from __future__ import annotations

# On the host, besides the steps: local or network reads; records to features; bytes to pixels;
# filling the image table; putting batches together; bringing them to the devices.
STORAGE, PARSE, DECODE, TABLE, HOST_MAP, TRANSFER = (
    "storage",
    "parse",
    "decode",
    "table",
    "host_map",
    "transfer",
)
# The step: the on-device layers; the model and its optimizer; waiting for other replicas; Python,
# launching kernels, and what a batch costs whatever its size.
PREPROCESS, MODEL, COLLECTIVE, OVERHEAD = (
    "device_preprocess",
    "model",
    "collective",
    "host_overhead",
)
INPUT_STAGES = (STORAGE, PARSE, DECODE, TABLE, HOST_MAP, TRANSFER)
STEP_STAGES = (PREPROCESS, MODEL, COLLECTIVE, OVERHEAD)
STAGES = (*INPUT_STAGES, *STEP_STAGES)

# What a stage is, where its name alone does not say.
MEANINGS = {
    TABLE: "filling the image table",
    HOST_MAP: "putting batches together on the host",
    TRANSFER: "bringing batches to the devices",
    PREPROCESS: "the on-device layers",
    COLLECTIVE: "waiting for other replicas",
    OVERHEAD: "Python, launching operations and weight updates",
}

# Name scopes by which a trace tells what an operation is for. What has none of them and is no
# input is the model; the optimizer's update costs the same whatever the batch.
UPDATE_SCOPE = "update"
LOSS_SCOPE = "loss"  # of the model's time; for the graph in TensorBoard
SCOPES = {
    **{stage: stage for stage in (STORAGE, PARSE, DECODE, TABLE, HOST_MAP, PREPROCESS)},
    UPDATE_SCOPE: OVERHEAD,
}
