"""Passes that were trained on an older variant (data.on_late=reuse): RUN/reused_variants.jsonl.

A line each, {"pass": 7, "variant": 5}: a run that resumes reads the same variant again in a pass
that it has begun, as long as it is there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from preprocess.shell.errors import ConfigError
from preprocess.shell.json_text import json_text
from preprocess.shell.regular_files import append_regular, read_regular
from trainer.data.live import LiveVariants
from trainer.training.means_of_variants import MeansOfVariants
from trainer.training.run_directory import RunDirectory
from trainer.workers.worker_group import WorkerGroup

MAX_BYTES = 1 << 28


def follow_live_variants(
    live: LiveVariants,
    directory: RunDirectory,
    say: Callable[[str], None],
    workers: WorkerGroup,
    *,
    resumed: bool,
) -> None:
    """Tells the live variants what they belong to, and what earlier attempts have read.

    Raises ConfigError if workers could choose different variants, or the follower works by other
    means than those that the run has read.
    """
    if live.reuses and not workers.alone:
        raise ConfigError(
            "data.on_late=reuse is for one worker: several could choose different variants; leave "
            "it out, so that they wait"
        )
    live.belongs_to(str(directory.path), say)
    file = directory.reused_file
    if workers.chief:
        if not resumed:
            for earlier in (file, directory.live_file):
                earlier.unlink(missing_ok=True)
        means = MeansOfVariants(directory.live_file, live)
        means.check_follower()
        live.on_live = means.take
    live.reused |= dict(_recorded(file))  # also where the run waits from now on: for its report
    if not live.reuses:
        return

    def record(of_pass: int, variant: int) -> None:
        with append_regular(file) as lines:
            lines.write(json_text({"pass": of_pass, "variant": variant}) + "\n")
        say(
            f"warning: variant {of_pass} is late: pass {of_pass} reads variant {variant} again; "
            "this run can no longer be repeated exactly"
        )

    live.on_reuse = record


def _recorded(file: Path) -> Iterator[tuple[int, int]]:
    """(pass, variant) of each line; a line torn by a kill is none."""
    try:
        text = read_regular(file, MAX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            fields = json.loads(line)
            yield int(fields["pass"]), int(fields["variant"])
