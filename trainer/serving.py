"""What a run says of pictures, in two graphs: bytes to pixels, pixels to outputs.

`predict`, `embed`, `neighbours` and `export` share them, so that a picture gets the same numbers
from each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from preprocess.dataset_format import TRIPLET, ImageFormat, ImageKey
from trainer.errors import DataError
from trainer.models.heads import LOGITS
from trainer.reader.decoding import FEATURES, decode, decode_file
from trainer.reader.files import UnreadablePicture, file_bytes
from trainer.reader.shaping import picture_shape, shaped
from trainer.runs import Run

EMBEDDING = "embedding"
SQUARED, COSINE = "squared distance", "cosine distance"
PARALLEL = 8  # pictures decoded at a time; one may have 64 million pixels

# Of TensorFlow's messages: names of nodes and operations, and lines around the reason.
_NODES = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:.*?\]")
_WRAPPING = ("Graph execution error", "Detected at node", "<stack traces", "File ")
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
      metric: how its embeddings are compared, SQUARED or COSINE.
      outputs: tf.function, uint8 [N, H, W, C] -> float32 tensors by name; `embedding` [N, E]
        always (of a classifier: the features in front of its last layer), of a classifier also
        `logits` and `probabilities` [N, classes] and `class`, string [N].
      decoded_files: tf.function, string [N] -> uint8 [N, H, W, C] of JPEG or PNG files.
    """

    def __init__(self, run: Run) -> None:
        session = run.session
        self.run = run
        self.shape = picture_shape(session.config, run.dataset)
        self.batch_size = session.config.batch_size
        self.classes: tuple[str, ...] = tuple(run.dataset["classes"])
        triplets = session.task.name == TRIPLET
        self.metric = SQUARED if triplets else COSINE
        model = session.model
        embedding = model.output if triplets else model.get_layer(LOGITS).input
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
        self._pixels = pixels

    def decoded_records(self, image: ImageFormat) -> Any:
        """A tf.function of image records, string [N] -> (uint8 [N, H, W, C], ids, labels)."""

        def decoded(payloads: Any) -> Any:
            features = tf.io.parse_example(payloads, _RECORD)
            pixels = _each(
                lambda one: shaped(decode(one, image, self.shape.channels), self.shape),
                features,
                self._pixels,
            )
            return pixels, features[ImageKey.ID], features[ImageKey.LABEL]

        return tf.function(decoded, input_signature=[_IMAGES])

    def _outputs(self, images: Any) -> dict[str, Any]:
        session = self.run.session
        pixels = session.task.pixels(session.augmentation, images, augment=False)
        embedding, logits = (
            tf.cast(output, tf.float32) for output in self._model(pixels, training=False)
        )
        if not self.classes:
            return {EMBEDDING: embedding}
        return {
            EMBEDDING: embedding,
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class": tf.gather(tf.constant(self.classes), tf.argmax(logits, -1)),
        }

    def file_pictures(self, paths: Sequence[str]) -> list[Item]:
        """The pictures of files, in their order; one that cannot be read has its problem.

        Damage in one file must not cost its neighbours: where TensorFlow refuses them together
        each is tried alone.
        """
        found: list[bytes | str] = []
        for path in paths:
            try:
                found.append(file_bytes(path))
            except UnreadablePicture as error:
                found.append(str(error))
        good = [data for data in found if isinstance(data, bytes)]
        pixels: Iterator[Any] = iter(self._decoded(good))
        items = []
        for path, data in zip(paths, found, strict=True):
            decoded = next(pixels) if isinstance(data, bytes) else data
            if isinstance(decoded, str):
                items.append(Item(path, None, decoded))
            else:
                items.append(Item(path, decoded))
        return items

    def _decoded(self, contents: list[bytes]) -> Sequence[Any]:
        if not contents:
            return ()
        try:
            decoded: Sequence[Any] = self.decoded_files(tf.constant(contents)).numpy()
        except tf.errors.OpError as error:
            if len(contents) == 1:
                return [error_words(error)]
            return [self._decoded([content])[0] for content in contents]
        return decoded

    def said_of(self, items: Sequence[Item]) -> dict[str, NDArray[Any]]:
        """The outputs for the pictures that could be read, rows in their order; raises DataError
        where they are not finite.
        """
        good = [item.pixels for item in items if item.pixels is not None]
        # Group normalisation refuses a batch of none: where all were unreadable a blank goes in.
        pixels = np.stack(good or [np.zeros(self.shape[:3], np.uint8)])
        found = {name: value.numpy()[: len(good)] for name, value in self.outputs(pixels).items()}
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


def _each(function: Any, elements: Any, spec: Any) -> Any:
    return tf.map_fn(
        function,
        elements,
        fn_output_signature=tf.TensorSpec(spec.shape[1:], spec.dtype),
        parallel_iterations=PARALLEL,
    )


def error_words(error: Any) -> str:
    """TensorFlow's reason alone: its messages wrap it in node names, traces and a headline.

    Graph execution error:  Detected at node ...  {{function_node f}} REASON
         [[{{node n}}]] [Op:f]
    """
    lines = (_NODES.sub("", line).strip() for line in str(error.message or "").splitlines())
    told = [line for line in lines if line and not line.startswith(_WRAPPING)]
    return told[-1] if told else "cannot be decoded"
