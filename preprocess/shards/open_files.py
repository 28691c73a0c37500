"""Open files: a shard being built has one for each of its variants."""

from __future__ import annotations

import resource

from preprocess.shell.errors import ConfigError

MOST_OPEN_FILES = 65_536  # asked of the system; far above what a build needs
LEAST_OTHER_FILES = 48  # of a build with one thread
OTHER_FILES = 256  # connections, libraries, the picture being read


def allow_open_files() -> int:
    """Raises this process's own limit as far as it may, and returns it. What is usual is 1,024: too
    few for ten threads with a hundred variants each.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return MOST_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def check_open_files(variants: int) -> None:
    """Raises ConfigError if not even one shard can be built at a time."""
    allowed = allow_open_files()
    needed = variants + LEAST_OTHER_FILES
    if allowed < needed:
        raise ConfigError(
            f"this process may open {allowed} files, and {variants} variants need {needed}: raise "
            f"the limit (ulimit -n {max(1024, needed)}), or build fewer --variants"
        )


def threads_for(workers: int, variants: int, open_files: int) -> int:
    """How many shards of `variants` files each one process may build at a time."""
    return max(1, min(workers, (open_files - OTHER_FILES) // variants))
