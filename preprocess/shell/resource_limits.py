"""Limits of this process that ended a command: which one, and what to raise."""

from __future__ import annotations

import resource
import traceback

# What libraries report where memory or threads end; Beam passes on the text alone.
_OUT_OF_MEMORY = (
    "MemoryError",
    "Cannot allocate memory",
    "Unable to allocate",
    "failed to map segment",
    "std::bad_alloc",
)
_OUT_OF_THREADS = "can't start new thread"
# (flag of ulimit, what it limits, the system's name of it)
_MEMORY = (("-v", "address space", resource.RLIMIT_AS), ("-d", "data", resource.RLIMIT_DATA))


def limit_reached(error: BaseException) -> str:
    """What to say of an error that a limit of this process caused; "" if none did."""
    text = "".join(traceback.format_exception(error))
    out_of_memory = any(sign in text for sign in _OUT_OF_MEMORY)
    out_of_threads = _OUT_OF_THREADS in text
    if not (out_of_memory or out_of_threads):
        return ""
    # A thread takes address space for its stack, so either limit may stop it.
    for flag, what, number in _MEMORY:
        soft, _ = resource.getrlimit(number)
        if soft != resource.RLIM_INFINITY:
            return (
                f"this process may not use more {what} than {soft // 1024} kB (ulimit {flag}): "
                f"raise it (ulimit {flag} unlimited), or use fewer --workers"
            )
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if out_of_threads and soft != resource.RLIM_INFINITY:
        return (
            f"no further thread can be started: this user may have {soft} processes and threads "
            "(ulimit -u), a container fewer (its pids limit); raise it, or use fewer --workers"
        )
    return ""
