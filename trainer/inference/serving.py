"""What a run says of pictures, in two graphs: bytes to pixels, pixels to outputs.

`predict`, `embed`, `neighbours` and `export` share them, so that a picture gets the same numbers
from each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from preprocess.dataset_format import ImageFormat, ImageKey
from preprocess.shell.errors import DataError
from preprocess.shell.json_text import JsonObject
from trainer.data.decoding import FEATURES, decode, decode_file
from trainer.data.picture_files import UnreadablePicture, file_pixels
from trainer.data.shaping import picture_shape, shaped
from trainer.inference.trained_run import Run
from trainer.models.inner_layer import inner_features
from trainer.models.randomness import keyed
from trainer.tasks.task import COSINE

EMBEDDING = "embedding"
PARALLEL = 8  # pictures decoded at a time; one may have 64 million pixels

# Of TensorFlow's messages: names of nodes and operations, and lines around the reason.
_IMAGES = tf.TensorSpec([None], tf.string, name="images")
_RECORD = {**FEATURES, ImageKey.ID: tf.io.FixedLenFeature([], tf.string)}


class Item(NamedTuple):
    """A picture on its way: its id, its bytes or its pixels, or what is wrong with it."""

    id: str
    pixels: NDArray[np.uint8] | None  # [H, W, C], as the dataset of the run has its pictures
    problem: str = ""
    label: int = -1  # -1 = not known
    split: str = ""


class Serving:
    """A run's model on bytes.

    Attributes:
      shape: of the pictures it takes, which is that of the dataset it was trained on.
      dimensions: E, of its embeddings.
      metric: how its embeddings are compared: the task's `compare_by`, those of a layer by cosine.
      layer: whose output its embeddings are; "" = the task's.
      task: of the run.
      outputs: tf.function, uint8 [N, H, W, C] -> tensors by name: what the task serves, and
        `embedding` float32 [N, E] always.
      decoded_files: tf.function, string [N] -> uint8 [N, H, W, C] of JPEG or PNG files.
    """

    def __init__(self, run: Run, layer: str = "") -> None:
        """Raises ConfigError if the model has no such layer."""
        session = run.session
        self.run = run
        self.shape = picture_shape(session.config, run.dataset)
        self.batch_size = session.config.batch_size
        self.task = session.task
        self.classes = self.task.classes
        self.layer, self.metric = layer, COSINE if layer else self.task.compare_by
        model = session.model
        embedding = inner_features(model, layer) if layer else self.task.embedding(model)
        self._model = tf.keras.Model(model.input, [embedding, model.output])
        self.dimensions = int(embedding.shape[-1])
        channels, height, width = self.shape.channels, self.shape.height, self.shape.width
        pixels = tf.TensorSpec([None, height, width, channels], tf.uint8)
        self.outputs = tf.function(self._outputs, input_signature=[pixels])
        self.decoded_files = tf.function(
            lambda images: _each(
                lambda encoded: shaped(decode_file(encoded, channels), self.shape), images, pixels
            ),
            input_signature=[_IMAGES],
        )
        self._drawn = tf.function(
            self._augmented,
            input_signature=[
                pixels,
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([], tf.int64),
            ],
        )
        self._pixels = pixels
        of_any_size = tf.TensorSpec([None, None, channels], tf.uint8)
        self._shaped = tf.function(
            lambda one: shaped(one, self.shape), input_signature=[of_any_size]
        )

    def decoded_records(self, image: ImageFormat) -> Any:
        """A tf.function of image records that StoredPictures has read, string [N] -> (uint8
        [N, H, W, C], ids, labels).
        """

        def decoded(payloads: tf.Tensor) -> tuple[tf.Tensor, ...]:
            features = tf.io.parse_example(payloads, _RECORD)
            pixels = _each(
                lambda one: shaped(decode(one, image, self.shape.channels, True), self.shape),
                features,
                self._pixels,
            )
            return pixels, features[ImageKey.ID], features[ImageKey.LABEL]

        return tf.function(decoded, input_signature=[_IMAGES])

    def embeddings(self, items: Sequence[Item], numbers: Sequence[int]) -> NDArray[np.float32]:
        """float32 [n, E] of the pictures that could be read."""
        rows: NDArray[np.float32] = self.said_of(items)[EMBEDDING]
        return rows

    def weights_digest(self) -> str:
        """That of the run."""
        return self.run.session.weights_digest()

    def _outputs(self, images: tf.Tensor) -> JsonObject:
        session = self.run.session
        return self._of(session.task.pixels(session.augmentation, images, augment=False))

    def _augmented(self, images: tf.Tensor, rows: tf.Tensor, draw: tf.Tensor) -> JsonObject:
        session = self.run.session
        with keyed(session.config.seed, draw, rows, self.run.trained_batch):
            pixels = session.task.pixels(session.augmentation, images, augment=True)
        return self._of(pixels)

    def _of(self, pixels: tf.Tensor) -> JsonObject:
        embedding, output = (
            tf.cast(output, tf.float32) for output in self._model(pixels, training=False)
        )
        return self.task.served(embedding, output)

    def file_pictures(self, paths: Sequence[str]) -> list[Item]:
        """The pictures of files, in their order; one that cannot be read has its problem."""
        with ThreadPoolExecutor(PARALLEL, "decode") as threads:
            return list(threads.map(self._file_picture, paths))

    def _file_picture(self, path: str) -> Item:
        try:
            pixels = file_pixels(path, self.shape.channels)
        except UnreadablePicture as error:
            return Item(path, None, str(error))
        return Item(path, self._shaped(pixels).numpy())

    def said_of(
        self, items: Sequence[Item], draw: int | None = None, numbers: Sequence[int] = ()
    ) -> dict[str, NDArray[Any]]:
        """The outputs for the pictures that could be read, rows in their order.

        Args:
          items: the pictures.
          draw: number of a test-time augmentation; None = the pictures as they are.
          numbers: of the pictures that could be read, among all there are: what the on-device
            layers draw for a picture follows from its number and `draw`.

        Raises:
          DataError: the outputs are not finite.
        """
        good = [item.pixels for item in items if item.pixels is not None]
        # Group normalisation refuses a batch of none: where all were unreadable a blank goes in.
        pixels = np.stack(good or [np.zeros(self.shape[:3], np.uint8)])
        if draw is None:
            outputs = self.outputs(pixels)
        else:
            rows = np.array(numbers or [0], np.int64) % self.run.trained_batch
            outputs = self._drawn(pixels, rows.astype(np.int32), np.int64(draw))
        found = {name: value.numpy()[: len(good)] for name, value in outputs.items()}
        if not np.isfinite(found[EMBEDDING]).all():
            raise DataError(
                f"the outputs of '{self.run.path}' are not finite: its training diverged"
            )
        return found


def batches(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` values, the last one shorter."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def _each(
    function: Callable[[tf.Tensor], tf.Tensor], elements: object, spec: tf.TensorSpec
) -> tf.Tensor:
    return tf.map_fn(
        function,
        elements,
        fn_output_signature=tf.TensorSpec(spec.shape[1:], spec.dtype),
        parallel_iterations=PARALLEL,
    )
