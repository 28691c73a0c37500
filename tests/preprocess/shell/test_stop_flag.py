"""Stop signals are noted and do nothing else."""

from __future__ import annotations

import signal

from preprocess.shell.stop_flag import StopFlag


def test_the_first_signal_is_kept_and_a_second_one_noted():
    with StopFlag() as stop:
        assert stop.received is None
        signal.raise_signal(signal.SIGTERM)
        assert (stop.received, stop.repeated) == (signal.SIGTERM, False)
        signal.raise_signal(signal.SIGINT)
        assert (stop.received, stop.repeated) == (signal.SIGTERM, True)


def test_handlers_are_as_they_were_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    with StopFlag():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopFlag() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.received is None
    finally:
        signal.signal(signal.SIGHUP, before)
