"""What a build was asked for, as the command line gives it."""

from __future__ import annotations

import dataclasses

from preprocess.sources.rows import Request


@dataclasses.dataclass(frozen=True)
class BuildRequest:
    """What `preprocess build` was asked for."""

    kind: str
    source: Request
    output: str
    variants: int
    recipe: str  # name or path; "" = the one that suits the source
    seed: int
    image_size: int
    resize_mode: str
    encoding: str  # "" = what suits the source
    quality: int
    shards: int
    max_bad_fraction: float
    workers: int  # 0 = the cores this process may use
    overwrite: bool
    beam_arguments: tuple[str, ...] = ()
