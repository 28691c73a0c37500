"""Copies a finished local dataset to Google Cloud Storage, checked by its hashes.

    python -m preprocess push DIR gs://BUCKET/DATASET

Existing objects with the right bytes are kept: run again after an interruption, it resumes. The
manifest is written last, so the target is a complete dataset or none. STORAGE_EMULATOR_HOST
redirects to an emulator.
"""

from __future__ import annotations

from absl import flags

from preprocess.commands import staged
from preprocess.shell import quiet

flags.adopt_module_key_flags(staged)


def main(arguments: list[str]) -> None:
    """Copies the dataset named first to the prefix named second."""
    quiet.hush()
    from preprocess.build.staging import push

    staged.run(push, arguments, to="remote")
