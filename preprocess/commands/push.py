"""Copies a finished local dataset to Google Cloud Storage, checked by its hashes.

    python -m preprocess push DIR gs://BUCKET/DATASET

Objects that are there already with the right bytes stay: stopped and started again, it goes on
where it was. The manifest is written last, so what is there is a whole dataset or none. With
STORAGE_EMULATOR_HOST set, an emulator is spoken to.
"""

from __future__ import annotations

from absl import flags

from preprocess import quiet
from preprocess.commands import staged

flags.adopt_module_key_flags(staged)


def main(arguments: list[str]) -> None:
    """Copies the dataset named first to the prefix named second."""
    quiet.hush()
    from preprocess.staging import push

    staged.run(push, arguments, to="remote")
