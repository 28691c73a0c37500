"""The options of a build, as the command line gives them."""

from __future__ import annotations

import dataclasses

from preprocess.sources.rows import Request


@dataclasses.dataclass(frozen=True)
class BuildRequest:
    """The options of `preprocess build`."""

    kind: str
    source: Request
    output: str
    variants: int
    recipe: str  # name or path; "" = the source's default
    seed: int
    image_size: int
    resize_mode: str
    encoding: str  # "" = the source's default
    quality: int
    shards: int
    max_bad_fraction: float
    workers: int  # 0 = the cores this process may use
    overwrite: bool
    beam_arguments: tuple[str, ...] = ()
