"""Copies a dataset from Google Cloud Storage to a local directory, checked by its hashes.

    python -m preprocess fetch gs://BUCKET/DATASET DIR

Files that DIR has already with the right bytes stay: stopped and started again, it goes on where
it was. The manifest is written last, so DIR is a whole dataset or none; a second fetch into the
same DIR waits for the first. With STORAGE_EMULATOR_HOST set, an emulator is spoken to.
"""

from __future__ import annotations

from absl import flags

from preprocess import quiet
from preprocess.commands import staged

flags.adopt_module_key_flags(staged)


def main(arguments: list[str]) -> None:
    """Copies the dataset named first to the directory named second."""
    quiet.hush()
    from preprocess.staging import fetch

    staged.run(fetch, arguments, to="local")
