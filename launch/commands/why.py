r"""One line: why a run waits, or which rank failed first and what it said last.

    python -m launch why RUN

Ranks that only lost their peer are left out: they are an echo.
"""

from __future__ import annotations

from launch.commands.one_run import one_run


def main(arguments: list[str]) -> None:
    """Looks and tells."""
    record = one_run("why", arguments)
    from launch.backends.choose import backend

    print(f"{record.name}: {backend(record.spec.backend).why(record)}")
