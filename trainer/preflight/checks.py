"""The checks: pure functions from facts to a Check."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from preprocess.shell.exit_codes import ExitCode
from trainer.bottleneck.thresholds import INPUT_HIGH
from trainer.report.figures import duration
from trainer.report.layer_table import LayerRow

OK, WARNING, FAIL = "ok", "warning", "FAIL"

# Rows a replica and step below which a GPU waits for the launch of its kernels more than it
# computes (launches take 20-40 us each, anchored by the TensorFlow profiler's guide).
SMALL_SHARE = 8
OTHERS_SHARE = 0.1  # of a GPU's memory in use before: more than its driver's own
LARGE_SHARD = 1 << 30  # bytes; reading one takes long, and so does doing it again
ROOM = 2.0  # times the disk that checkpoints take: below it, a warning
# Of the range that a backbone wants, the least that the pixels of a batch should take up: what is
# below it was scaled twice.
USED_RANGE = 0.05
BFLOAT16_CAPABILITY = 8.0  # Ampere


@dataclasses.dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it is, and what to do about it.

    Attributes:
      name: of the check.
      status: OK, WARNING or FAIL.
      value: what was found.
      advice: the remedy; '' if none is needed.
      code: exit code of a FAIL.
      layers: of the model, where that was looked at.
    """

    name: str
    status: str
    value: str
    advice: str = ""
    code: int = ExitCode.CONFIG
    layers: tuple[LayerRow, ...] = ()


def shards(files: int, stored_bytes: int, workers: int) -> Check:
    """Shards of the training split against the processes that read them."""
    value = f"{files} shards, {size_words(stored_bytes)}, for {_count(workers, 'worker')}"
    if files < workers:
        advice = f"all workers read the same files: build with --shards={_ladder(workers)}"
        return Check("shards", WARNING, value, advice)
    if stored_bytes > files * LARGE_SHARD:
        wanted = _ladder(math.ceil(stored_bytes / LARGE_SHARD))
        advice = f"shards of more than 1 GiB are read by one: build with --shards={wanted}"
        return Check("shards", WARNING, value, advice)
    return Check("shards", OK, value)


def batch(batch_size: int, replicas: int, records: int, on_gpu: bool) -> Check:
    """The global batch against the replicas it is divided among."""
    value = f"{batch_size} among {_count(replicas, 'replica')}"
    if batch_size % replicas:
        near = max(replicas, batch_size // replicas * replicas)
        return Check("batch", FAIL, value, f"set batch_size={near} or {near + replicas}")
    value += f", {batch_size // replicas} each"
    if batch_size > records:
        advice = f"a pass has {records} records: most of the batch is padding; lower batch_size"
        return Check("batch", WARNING, value, advice)
    if on_gpu and batch_size // replicas < SMALL_SHARE:
        advice = f"a GPU idles on so few: set batch_size={SMALL_SHARE * replicas} or more"
        return Check("batch", WARNING, value, advice)
    return Check("batch", OK, value)


def shapes(found: Mapping[str, Sequence[int | None]]) -> Check:
    """The shapes that the training step is traced for, by name."""
    value = ", ".join(
        f"{name} [{','.join('?' if side is None else str(side) for side in shape)}]"
        for name, shape in found.items()
    )
    unknown = [name for name, shape in found.items() if None in shape]
    if unknown:
        advice = f"{', '.join(unknown)}: the step is retraced for each; build with --image_size"
        return Check("shapes", FAIL, value, advice, code=ExitCode.DATA)
    return Check("shapes", OK, value)


def passes(
    records: int, batch_size: int, steps_per_epoch: int, epochs: int, variants: int
) -> Check:
    """How often a run sees its records; `steps_per_epoch` 0 = a pass, `variants` those used."""
    steps = -(-records // batch_size)
    seen = epochs * (steps_per_epoch or steps) / steps
    value = f"{steps} steps a pass of {records} records; the run is {seen:.3g} passes"
    if variants > 1 and seen < variants:
        advice = (
            f"each record is seen in {max(1, math.ceil(seen))} of its {variants} variants: "
            "train longer, or build fewer"
        )
        return Check("steps", WARNING, value, advice)
    return Check("steps", OK, value)


def live_variants(stored: int, at_work: str, how: str) -> Check:
    """Variants that are built while the run trains.

    Args:
      stored: number of those in the dataset itself.
      at_work: what the follower that is running does; "" = there is none.
      how: the command that starts one.
    """
    value = f"live: pass p reads variant p, of which {stored} are in the dataset"
    if at_work:
        return Check("variants", OK, f"{value}; {at_work}")
    advice = f"the training will wait in pass {stored}: {how}"
    return Check("variants", WARNING, f"{value}; no follower is at work", advice)


def pixels(
    wanted: str, bounds: tuple[float, float], found: tuple[float, float], by_hand: bool
) -> Check:
    """The pixels of a real batch, as they enter the backbone, against the range it wants.

    Args:
      wanted: the name of the range.
      bounds: its lowest and highest value.
      found: the lowest and the highest of the batch.
      by_hand: whether `model.pixel_range` chose it, not the table of backbones.
    """
    value = f"{found[0]:.3g} to {found[1]:.3g}, the backbone wants {wanted}"
    slack = 1e-3 * (bounds[1] - bounds[0])
    if not all(map(math.isfinite, found)):
        return Check("pixels", FAIL, value, "look at report.html's augmented batch")
    if found[0] < bounds[0] - slack or found[1] > bounds[1] + slack:
        advice = "outside of it: lower augment.brightness or augment.contrast"
        return Check("pixels", FAIL, value, advice)
    if found[1] - found[0] < USED_RANGE * (bounds[1] - bounds[0]):
        advice = "hardly any of it is used; were they scaled twice? look at `preprocess preview`"
        return Check("pixels", FAIL, value, advice, code=ExitCode.DATA)
    if by_hand:
        advice = "model.pixel_range is set explicitly; '' = the backbone's own"
        return Check("pixels", WARNING, value, advice)
    return Check("pixels", OK, value)


def gpus(
    in_machine: int,
    visible: int,
    virtual_replicas: int,
    hidden: bool,
    capabilities: Sequence[float],
    newest_built: float,
    precision: str,
) -> Check:
    """GPUs of the machine against those that TensorFlow sees.

    Args:
      in_machine: GPUs that the driver lists.
      visible: GPUs that TensorFlow lists.
      virtual_replicas: of the configuration; above 0 the CPU is wanted.
      hidden: whether CUDA_VISIBLE_DEVICES is set.
      capabilities: compute capability of each that is visible.
      newest_built: the newest capability that this TensorFlow holds kernels for.
      precision: of the configuration.
    """
    value = f"{visible} visible of {in_machine} in the machine"
    if virtual_replicas:
        advice = "virtual_replicas keeps them idle; set virtual_replicas=0" if in_machine else ""
        return Check(
            "gpus", WARNING if in_machine else OK, f"{value}; the CPU is asked for", advice
        )
    if visible < in_machine:
        if hidden:
            advice = "CUDA_VISIBLE_DEVICES hides the others"
            return Check("gpus", WARNING, value, advice)
        advice = "TensorFlow does not see them: install requirements-gpu.txt, look at the driver"
        return Check("gpus", FAIL if not visible else WARNING, value, advice)
    if precision == "mixed_bfloat16" and any(c < BFLOAT16_CAPABILITY for c in capabilities):
        advice = "no bfloat16 below compute capability 8.0: set precision=mixed_float16"
        return Check("gpus", WARNING, value, advice)
    if newest_built and any(math.floor(c) > math.floor(newest_built) for c in capabilities):
        advice = (
            f"newer than this TensorFlow's kernels ({newest_built:g}): they are compiled at first "
            "use, which can take half an hour; set CUDA_CACHE_PATH to a folder that stays"
        )
        return Check("gpus", WARNING, value, advice)
    return Check("gpus", OK, value)


def gpu_memory(used: Sequence[tuple[int, int]], grows: bool) -> Check:
    """Memory of the visible GPUs: (bytes in use before this process, bytes) of each; `grows` is
    TF_FORCE_GPU_ALLOW_GROWTH.
    """
    name = "gpu memory"
    if not used:
        return Check(name, OK, "no GPU")
    taken = ", ".join(f"{size_words(each)} of {size_words(total)} in use" for each, total in used)
    if grows:
        return Check(name, OK, f"{taken}; taken as it is needed (TF_FORCE_GPU_ALLOW_GROWTH)")
    value = f"{taken}; TensorFlow takes all that is free at the start"
    if any(each > OTHERS_SHARE * total for each, total in used):
        advice = "another process is there: set TF_FORCE_GPU_ALLOW_GROWTH=true in both to share"
        return Check(name, WARNING, value, advice)
    return Check(name, OK, value)


def memory(tables: Sequence[tuple[str, str, int]], free: int) -> Check:
    """Memory for the picture tables: (split, kind, bytes) of each; `free` bytes to be had."""
    if not tables:
        return Check("memory", OK, f"no table is needed, {size_words(free)} are free")
    kinds = ", ".join(f"{split} {kind}" for split, kind, _ in tables)
    needed = sum(size for _, _, size in tables)
    value = f"{size_words(needed)} of {size_words(free)} free ({kinds})"
    if any(kind == "encoded" for _, kind, _ in tables):
        advice = "encoded pictures are decoded at every use: more memory, or a smaller --image_size"
        return Check("memory", WARNING, value, advice)
    return Check("memory", OK, value)


def hub(backbone: str, problem: str) -> Check:
    """Whether the backbone's module is available; `problem` is what locating it raised, or ''."""
    if not backbone.startswith("hub:"):
        return Check("hub", OK, f"not needed by {backbone}")
    if problem:
        return Check("hub", FAIL, f"{backbone} is not available", problem)
    return Check("hub", OK, f"{backbone} is there")


def workdir(path: str, problem: str, changed: str, goes_on: bool) -> Check:
    """The run directory: `problem` = why nothing can be written, `changed` = what differs from
    the run in it, `goes_on` = whether there is one.
    """
    if not path:
        return Check("workdir", OK, "not given")
    if problem:
        return Check("workdir", FAIL, path, problem)
    if changed:
        return Check("workdir", FAIL, path, changed)
    return Check("workdir", OK, f"{path}, {'resumes' if goes_on else 'new'}")


def disk(state_bytes: int, weight_bytes: int, keep: int, free: int) -> Check:
    """Room for checkpoints: those kept, the best, one being written of each, and the model."""
    needed = state_bytes * (keep + 3) + weight_bytes
    value = f"{size_words(needed)} for checkpoints, {size_words(free)} free"
    if free < needed:
        return Check("disk", FAIL, value, "make room, or give --workdir on another disk")
    if free < ROOM * needed:
        return Check("disk", WARNING, value, "little is left for TensorBoard's logs: make room")
    return Check("disk", OK, value)


def learnable(name: str, value: str, problems: Sequence[str]) -> Check:
    """What the splits have to learn from and to measure by; `problems` are lines about them."""
    return Check(name, WARNING if problems else OK, value, "; ".join(problems))


def step(losses: Sequence[float], moved: bool) -> Check:
    """Real training steps: their losses, and whether any weight moved."""
    value = f"loss {', '.join(f'{loss:.4g}' for loss in losses)}"
    if not all(map(math.isfinite, losses)):
        advice = "not finite: lower optimizer.learning_rate, or set precision=float32"
        return Check("step", FAIL, value, advice)
    if not moved:
        advice = "no weight moved: look at model.trainable and optimizer.learning_rate"
        return Check("step", FAIL, value, advice)
    return Check("step", OK, value)


def epoch_time(
    step_seconds: float,
    wait_seconds: float,
    steps: int,
    validation_seconds: float,
    epochs: int,
) -> Check:
    """Time of an epoch from a few steps.

    Args:
      step_seconds: of a step, waiting included.
      wait_seconds: of it, for the batch.
      steps: of an epoch.
      validation_seconds: of an epoch, on average.
      epochs: of the run.
    """
    epoch = step_seconds * steps + validation_seconds
    wait = wait_seconds / step_seconds if step_seconds else 0.0
    value = (
        f"{duration(epoch)} an epoch, {duration(epoch * epochs)} in all; "
        f"{1000 * step_seconds:.0f} ms a step, {wait:.0%} of it waiting"
    )
    if wait >= INPUT_HIGH:
        return Check("time", WARNING, value, "input-bound: `trainer diagnose` says where")
    return Check("time", OK, value)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def size_words(number: float) -> str:
    """Bytes with three digits and a unit of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def _ladder(least: int) -> int:
    """The shard count to build with: the first that divides evenly among workers."""
    ladder = (1, 2, 4, 8, 12, 24, 48, 96, 120, 240, 480)
    return next((each for each in ladder if each >= least), least)
