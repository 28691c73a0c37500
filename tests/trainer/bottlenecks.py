"""Bottlenecks put into training on purpose, each with the stage that a diagnosis must name.

Each is a configuration, the replicas it needs, and a patch: a function of a pytest.MonkeyPatch.
Costs of a known size are sleeps, which take the same on a busy machine, and so long that what a
busy machine adds elsewhere hardly counts; the others are real work.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from preprocess.dataset_format import ImageKey
from tests.trainer import datasets

READ_SECONDS = 0.03  # of a picture
MAP_SECONDS = 0.05
DECODE_SECONDS = 0.05
TABLE_SECONDS = 0.02  # of decoding where a table is filled, some 64 pictures of which are timed
QUICK_BATCHES = 20
BATCH_SECONDS = 0.2  # at least; several times a step of `mlp`
STEP_SECONDS = 0.03  # of a step, so that what remains after a change is known too
PYTHON_SECONDS = 0.06
WORKER_SECONDS = 0.15
RAW_PICTURES, RAW_SIDE = 1100, 600  # 1.2 GB
REPLICA_SECONDS = 0.06
# Long enough for a trace once it is warm, and for figures of epochs after the first.
TRAINING = {"epochs": 3, "steps_per_epoch": 20, "profile.steps": (10, 20)}
SMALL = {"model__backbone": "mlp", "data__validation_splits": ("test",), "data__variants": 1}


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """Something slow.

    Attributes:
      stage: what it is to be called.
      data: which dataset: "classes", "large", "mixed" or "triplets".
      changes: of the configuration.
      inject: makes it slow.
      replicas: to train on.
      fixed: the keys that --apply=1 is to change; () where there is nothing of this kind.
      known: whether what it costs is known, so that the prediction must be good.
    """

    stage: str
    data: str
    changes: dict[str, Any]
    inject: Callable[[Any], None] = lambda _: None
    replicas: int = 1
    fixed: tuple[str, ...] = ()
    known: bool = False


def slow_storage(patch: Any) -> None:
    from trainer.data.records import StoredPictures

    payload = StoredPictures.payload

    def slowly(self: Any, *place: Any) -> bytes:
        time.sleep(READ_SECONDS)
        return payload(self, *place)

    patch.setattr(StoredPictures, "payload", slowly)


def slow_batches(patch: Any) -> None:
    """Each batch of triplets but the first ones comes late, by several steps.

    Of those seen until then: on a busy machine a step may take longer than any fixed time.
    """
    from trainer.data.reader import TripletReader

    dataset = TripletReader.dataset
    began: list[float] = []

    def seconds() -> float:
        began.append(time.monotonic())
        if len(began) <= QUICK_BATCHES:
            return 0.0
        steps = [
            after - before for before, after in pairwise(began[QUICK_BATCHES // 2 : QUICK_BATCHES])
        ]
        return max(BATCH_SECONDS, 4 * statistics.median(steps))

    def late(self: Any, *arguments: Any, **named: Any) -> Any:
        def slowly(batch: dict[str, Any]) -> dict[str, Any]:
            return {**batch, "weight": _sleeping(batch["weight"], seconds)}

        return dataset(self, *arguments, **named).map(slowly)

    patch.setattr(TripletReader, "dataset", late)


def _sleeping(value: Any, seconds: float | Callable[[], float]) -> Any:
    """The tensor, later."""
    import tensorflow as tf

    def sleep(number: Any) -> Any:
        time.sleep(seconds() if callable(seconds) else seconds)
        return number

    late = tf.numpy_function(sleep, [tf.constant(0, tf.int32)], tf.int32)
    with tf.control_dependencies([late]):
        return tf.identity(value)


def slow_decoder(patch: Any, seconds: float = DECODE_SECONDS) -> None:
    from trainer.data.decoding import Decoder

    decode = Decoder.decode

    def slowly(self: Any, features: dict[str, Any]) -> Any:
        late = _sleeping(features[ImageKey.ENCODED], seconds)
        return decode(self, {**features, ImageKey.ENCODED: late})

    patch.setattr(Decoder, "decode", slowly)


def slow_map(patch: Any) -> None:
    from trainer.data import decoding

    stretch = decoding.stretch
    patch.setattr(
        decoding, "stretch", lambda pixels, side: stretch(_sleeping(pixels, MAP_SECONDS), side)
    )


def slow_layer(patch: Any) -> None:
    """A layer that multiplies matrices for each picture."""
    import tensorflow as tf

    from trainer.training import session

    build = session.build_augmentation

    class Burn(tf.keras.layers.Layer):
        def call(self, images: Any, training: bool = False) -> Any:
            first = tf.reshape(tf.cast(images, tf.float32), [tf.shape(images)[0], -1])[:, :1]
            found = first[:, :, tf.newaxis] * 1e-6 + tf.eye(192)[tf.newaxis]
            for _ in range(30):
                found = tf.linalg.matmul(found, found)
                found /= tf.reduce_max(tf.abs(found))
            return tf.cast(images, tf.float32) + 1e-6 * found[:, 0, 0][:, None, None, None]

    patch.setattr(
        session, "build_augmentation", lambda config: tf.keras.Sequential([build(config), Burn()])
    )


def slow_python(patch: Any) -> None:
    from trainer.training.progress import ProgressFile

    update = ProgressFile.update

    def slowly(self: Any, *arguments: Any, **named: Any) -> None:
        time.sleep(PYTHON_SECONDS)
        update(self, *arguments, **named)

    patch.setattr(ProgressFile, "update", slowly)


def slow_step(patch: Any) -> None:
    """Every replica's, which is no bottleneck yet."""
    _slow_outputs(patch, STEP_SECONDS, lambda replica: True)


def slow_worker(patch: Any) -> None:
    """For a worker whose peers have nothing in their steps but what a busy machine adds."""
    _slow_outputs(patch, WORKER_SECONDS, lambda replica: True)


def slow_replica(patch: Any) -> None:
    """The second one."""
    _slow_outputs(patch, REPLICA_SECONDS, lambda replica: replica == 1)


def _slow_outputs(patch: Any, seconds: float, where: Callable[[int], bool]) -> None:
    import tensorflow as tf

    from trainer.tasks.task import Task

    outputs = Task.outputs

    def slowly(self: Any, model: Any, layers: Any, images: Any, **named: Any) -> Any:
        context = tf.distribute.get_replica_context()
        if context and where(int(tf.get_static_value(context.replica_id_in_sync_group))):
            images = _sleeping(images, seconds)
        return outputs(self, model, layers, images, **named)

    patch.setattr(Task, "outputs", slowly)


def known(cause: Callable[[Any], None]) -> Callable[[Any], None]:
    """The cause, beside a step of known length."""

    def inject(patch: Any) -> None:
        cause(patch)
        slow_step(patch)

    return inject


BOTTLENECKS = {
    "storage": Bottleneck(
        "storage",
        "classes",
        {**SMALL, "data__variants": 0},
        known(slow_storage),
        fixed=("data.parallel_reads",),
        known=True,
    ),
    "large pictures": Bottleneck("decode", "large", SMALL, fixed=("data.image_table",)),
    "decoding": Bottleneck(
        "decode", "classes", SMALL, known(slow_decoder), fixed=("data.image_table",), known=True
    ),
    "host map": Bottleneck(
        "host_map", "mixed", SMALL, known(slow_map), fixed=("data.image_table",), known=True
    ),
    "table": Bottleneck(
        "decode",
        "triplets",
        {"model__backbone": "mlp", "augment__enabled": False},
        lambda patch: slow_decoder(patch, TABLE_SECONDS),
    ),
    "on-device layer": Bottleneck("device_preprocess", "classes", SMALL, slow_layer),
    "model": Bottleneck(
        "model", "classes", {**SMALL, "model__backbone": "cnn", "image_size": 128, "batch_size": 16}
    ),
    "python": Bottleneck("host_overhead", "classes", SMALL, slow_python),
    "tiny batch": Bottleneck("host_overhead", "classes", {**SMALL, "batch_size": 1}),
    "replica": Bottleneck("collective", "classes", SMALL, slow_replica, replicas=2),
}


def make_data(folder: Any, name: str) -> str:
    """One of the datasets."""
    if name == "triplets":
        return datasets.triplets(folder)
    if name == "large":
        rng = np.random.default_rng(0)
        for split, count in (("train", 16), ("test", 4)):
            for number in range(count):
                path = folder / "pictures" / split / datasets.CLASSES[number % 2] / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                # Noise takes a JPEG decoder longest, and resizing on the device as long as ever.
                noise = Image.fromarray(rng.integers(0, 255, (1024, 1024, 3)).astype(np.uint8))
                noise.save(path, quality=95, subsampling=0)
        flags = ("--variants=1", "--shards=2")
        return datasets.build(
            folder / "large", "--source=folders", f"--images={folder / 'pictures'}", *flags
        )
    if name == "more than memory":
        return _raw_pictures(folder)
    return datasets.class_folders(folder, mixed=name == "mixed")


def _raw_pictures(folder: Any) -> str:
    """Raw pictures, more than a limit leaves room for."""
    pictures = folder / "pictures"
    datasets.write_folders(pictures)
    one = Image.fromarray(np.zeros((RAW_SIDE, RAW_SIDE, 3), np.uint8))
    for number in range(RAW_PICTURES):
        path = pictures / "train" / datasets.CLASSES[number % 2] / f"raw{number:04d}.png"
        one.save(path, compress_level=1)
    flags = ("--variants=1", "--encoding=raw", f"--image_size={RAW_SIDE}")
    return datasets.build(folder / "raw", "--source=folders", f"--images={pictures}", *flags)


def forget_files(folder: str) -> None:
    """Has the system drop the files of a folder from memory, whoever has read or written them."""
    for path in Path(folder).rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def configuration(bottleneck: Bottleneck, **changes: Any) -> Any:
    """Its configuration, with changes."""
    triplets = bottleneck.data == "triplets"
    base = datasets.TRIPLET if triplets else datasets.CLASSIFICATION
    return datasets.configuration(base, **{**bottleneck.changes, **changes})
