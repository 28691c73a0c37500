"""`--from=RUN[@last|@best|@STEP]`: a new run that starts from a saved state of another one.

For changes that a resumed run does not allow: batch, optimizer, learning rate or schedule. Weights
are taken as `model.weights` takes them, and the optimizer's moments if it is the same optimizer.
Steps and epochs count from 0.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import JsonObject
from trainer.config.keys import Config
from trainer.optimizers.averages import put
from trainer.optimizers.current_rate import innermost
from trainer.training.checkpoints import BEST, DAMAGE, LAST, Checkpoints
from trainer.training.run_directory import RunDirectory
from trainer.training.session import Session, optimizer_variables

RATE = "learning_rate"  # of a stage
LOWER = 10.0  # divisor of the learning rate in the command suggested after a divergence


@dataclasses.dataclass(frozen=True)
class Origin:
    """The state that a run starts from.

    Attributes:
      given: the value as it was written.
      run: the run directory.
      state: the state's folder.
      step: its step.
      config: the other run's configuration, from its config.json.
    """

    given: str
    run: Path
    state: Path
    step: int
    config: JsonObject

    def record(self) -> JsonObject:
        """What the new run's config.json records about it."""
        return {
            "given": self.given,
            "run": str(self.run.absolute()),
            "state": str(self.state.relative_to(self.run)),
            "step": self.step,
        }


def find_origin(given: str) -> Origin:
    """The state that a value of --from names.

    Raises:
      ConfigError: there is no such run or state; names the existing states.
      DataError: the run or the state is damaged.
    """
    run, which = given, LAST
    if not Path(given).is_dir():
        run, _, which = given.rpartition("@")
    if not run or not Path(run).is_dir():
        raise ConfigError(
            f"--from={given}: there is no such run directory; give RUN, RUN@{BEST} or RUN@STEP"
        )
    directory = RunDirectory(run)
    record, checkpoints = directory.read_config(), Checkpoints(directory.checkpoints)
    states = {kind: checkpoints.states(kind) for kind in (LAST, BEST)}
    every = [*states[LAST], *states[BEST]]
    steps = {path: int(path.name.split("-")[1]) for path in every}
    wanted = states.get(which)
    if wanted is None:
        wanted = [path for path in every if str(steps[path]) == which]
    if not wanted:
        known = ", ".join(str(step) for step in sorted({*steps.values()}))
        raise ConfigError(
            f"--from={given}: '{run}' has no such state; "
            + (f"it has {LAST}, {BEST} or a step of {known}" if known else "nothing is saved there")
        )
    state = wanted[0]
    return Origin(given, directory.path, state, steps[state], record["config"])


def take_optimizer(session: Session, origin: Origin) -> str:
    """Copies the moments of a state's optimizer to a session's, if it is the same optimizer.

    The configuration's own numbers are kept, above all the learning rate. With a schedule or a
    warm-up, the step count restarts from 0, as they do.

    Returns:
      What was copied, or why nothing was, as a message.
    """
    name, before = session.config.optimizer.name, str(origin.config["optimizer"]["name"])
    if name.lower() != before.lower():
        return f"the optimizer starts from scratch (it was {before}, now {name})"
    optimizer = session.model.optimizer
    variables = _all_variables(optimizer)
    both = [*variables, *session.model.weights]
    values = [variable.numpy() for variable in both]
    prefix = str(origin.state / "state")
    try:
        if _slots_in(prefix) != len(optimizer_variables(optimizer)) - 1:  # the count of steps
            raise ValueError("number of slots differs")
        # With the model: a legacy optimizer's slots belong to weights, which are restored already.
        checkpoint = tf.train.Checkpoint(model=session.model, optimizer=optimizer)
        checkpoint.read(prefix).expect_partial()
    except DAMAGE:
        put(both, values)
        return "the optimizer starts from scratch (its saved state has another format)"
    section = session.config.optimizer
    counts = not (section.schedule or section.warmup_steps)
    for variable, value in zip(variables, values, strict=False):
        is_count = variable is optimizer.iterations
        if variable.shape.rank == 0 and not (is_count and counts):
            variable.assign(value)
    return "with the optimizer's state" + ("" if counts else ", its count of steps from 0")


def after_divergence(
    workdir: str, dataset: str, config: Config, further: Sequence[str] = ()
) -> str:
    """What to do after a run diverged: which state is kept, and a command to copy."""
    rate = config.optimizer.learning_rate
    states = Checkpoints(RunDirectory(workdir).checkpoints).states(LAST)
    target = workdir.rstrip("/")
    words = ["python", "-m", "trainer", "train", f"--config={target}"]
    words += [f"--data={each}" for each in (dataset, *further)]
    if states:
        number = next(n for n in itertools.count(2) if not os.path.lexists(f"{target}-{n}"))
        words += [f"--workdir={target}-{number}", f"--from={target}"]
        kept = f"The state of step {int(states[0].name.split('-')[1])}, before it, is kept"
    else:
        words.append(f"--workdir={target}")
        kept = "Nothing was saved before it"
    words.append(f"--config.optimizer.learning_rate={rate / LOWER:g}")
    if any(RATE in stage for stage in config.stages):
        slower = [
            {**stage, **({RATE: float(str(stage[RATE])) / LOWER} if RATE in stage else {})}
            for stage in config.stages
        ]
        words.append(f"--config.stages={slower}")
    return f"{kept}; lower optimizer.learning_rate={rate:g}, as in\n  {shlex.join(words)}"


def _slots_in(prefix: str) -> int:
    """How many optimizer slots a state has."""
    names = [name for name, _ in tf.train.list_variables(prefix)]
    return sum(".OPTIMIZER_SLOT/" in n or n.startswith("optimizer/_variables/") for n in names)


def _all_variables(optimizer: tf.keras.optimizers.Optimizer) -> list[tf.Variable]:
    """Slots, counters and settings, each once."""
    found = optimizer_variables(optimizer)
    for each in (optimizer, innermost(optimizer)):
        settings = [*getattr(each, "_hyper", {}).values(), getattr(each, "_learning_rate", None)]
        # isinstance() does not recognise a strategy's variables as tf.Variable.
        found += [setting for setting in settings if hasattr(setting, "assign")]
    return list({id(variable): variable for variable in found}.values())
