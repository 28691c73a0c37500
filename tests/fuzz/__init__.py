"""Hostile input by the thousand: `python -m tests.fuzz --minutes=20 [--target=manifest]`.

A target reads one kind of input in this process. Each case is a valid input that was changed; it
may be taken or refused with an exit code of the table, within 10 s of processor time and 1.5 GB.
targets.py is the table, changes.py makes the cases, and test_fuzz.py runs a few of each in the
suite, always the same.
"""
