"""Tests that need more of the system than Python: `make test-integration`.

A file a system. Each asks `system.py` for what it needs, which installs it where it can (as root,
with apt; else through pip or Maven into a cache) and skips the file with the reason where it
cannot. Every test here is marked `integration`, which `make test` leaves out.
"""
