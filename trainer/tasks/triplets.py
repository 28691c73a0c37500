"""Triplets: three pictures, of which the odd one is found by the distances of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from preprocess.shell.json_text import JsonObject
from trainer import losses
from trainer.data.reader import Reader
from trainer.data.rows import Tensors
from trainer.data.triplets import TripletReader
from trainer.metrics import MAJORITY, triplet_hits, triplet_hits_from_distances
from trainer.models.heads import embedding_head
from trainer.report.contact_sheets import TripletMistake
from trainer.report.page import Section
from trainer.tasks import triplet_card
from trainer.tasks.outputs import Floats, Outputs
from trainer.tasks.task import SQUARED, Task
from trainer.tasks.triplet_card_figure import card_figure, card_section, words

if TYPE_CHECKING:
    import tensorflow as tf

PAIRS = ((0, 1), (0, 2), (1, 2))  # the pictures of a triplet's three distance columns


class Triplets(Task):
    """Outputs are embeddings [b,3,E]; values are squared distances [N,3] of PAIRS."""

    target = "votes"
    picture_columns = ("face1", "face2", "face3")
    output = "embedding"
    compare_by = SQUARED
    detail = "report_card"
    evaluate_detail = "report_card"

    @property
    def outputs_a_picture(self) -> int:
        """The numbers of an embedding."""
        return self._config.model.embedding_size

    def head(self, features: tf.Tensor) -> tf.Tensor:
        """float32[N,E], scaled to length `model.scale`."""
        return embedding_head(features, self._config.model)

    def judged(self, outputs: tf.Tensor) -> tf.Tensor:
        """Squared distances."""
        return losses.squared_distances(outputs)

    def hits(self, outputs: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """Correct among the triplets whose odd picture has a majority."""
        return triplet_hits(batch["votes"], outputs)

    def values(self, outputs: Floats) -> Floats:
        """The mean of the distances: embeddings of different runs are in different spaces."""
        return squared_distances(outputs)

    def figures(self, outputs: Outputs) -> JsonObject:
        """Triplets without a majority do not count."""
        right, counted = triplet_hits_from_distances(outputs.values, outputs.targets)
        hits, total = int(np.sum(right & counted)), int(np.sum(counted))
        return self.counted_figures(outputs, hits, total)

    def details(self, outputs: Outputs, reader: Reader) -> JsonObject:
        """The report card, by the triplet types that the reader knows."""
        assert isinstance(reader, TripletReader)
        types = [reader.types[record] for record in outputs.records.tolist()]
        return triplet_card.report_card(outputs.values, outputs.targets, types)

    def detail_lines(self, details: JsonObject) -> list[str]:
        """The rows of the card, then its sentences."""
        lines = []
        for row in [*details["by_type"], *details["by_agreement"]]:
            low, high = row["interval"]
            figures = f"{row['accuracy']:.3f}  [{low:.3f}, {high:.3f}]  of {row['counted']}"
            lines.append(f"  {row['name']:<24} {figures}")
        return [*lines, *words(details)]

    def drawings(self, details: JsonObject) -> dict[str, Figure]:
        """The card as a figure."""
        return {"card": card_figure(details)}

    def sections(self, details: JsonObject, images: Mapping[str, bytes]) -> list[Section]:
        """The card as a section."""
        return [card_section(details, images.get("card"))]

    def wrong(self, outputs: Outputs) -> NDArray[np.bool_]:
        """The triplets where the model's closest pair leaves out another picture than annotators
        chose.
        """
        # Reversed, column i is the distance between the two pictures other than i; where it is the
        # smallest, the model calls i the odd one.
        chosen = outputs.values[:, ::-1].argmin(-1)
        majority = outputs.targets.max(-1) > MAJORITY
        return (chosen != outputs.targets.argmax(-1)) & majority

    def mistake(self, outputs: Outputs, row: int, picture: np.ndarray) -> TripletMistake:
        """A mistake with its three pictures, uint8[3,H,W,C]."""
        return TripletMistake(
            pictures=list(picture),
            votes=outputs.targets[row].tolist(),
            distances=outputs.values[row].tolist(),
        )

    def mean_embedding(self, draws: Sequence[Floats]) -> Floats:
        """The direction of the mean, with the length that all embeddings have."""
        mean = super().mean_embedding(draws)
        lengths = np.linalg.norm(mean, axis=-1, keepdims=True)
        scaled: Floats = self._config.model.scale * mean / np.where(lengths > 0, lengths, 1.0)
        return scaled

    def served(self, embedding: tf.Tensor, output: tf.Tensor) -> Tensors:
        """Only the embedding."""
        return {"embedding": embedding}

    def truth_columns(self) -> list[str]:
        """The share of annotators who called each picture the odd one."""
        return ["votes1", "votes2", "votes3"]

    def truth_cells(self, target: np.ndarray) -> list[str]:
        """The shares' texts."""
        return [f"{share:.6f}" for share in target]

    def prediction_columns(self) -> list[str]:
        """The odd picture and the squared distances."""
        return ["odd_one", "distance12", "distance13", "distance23"]

    def prediction_cells(self, values: Floats) -> list[str]:
        """The odd picture is the one that the closest pair leaves out."""
        odd = self.picture_columns[int(values[::-1].argmin())]
        return [odd, *(f"{distance:.6f}" for distance in values)]


def squared_distances(embeddings: Floats) -> Floats:
    """float64[N,3] in the order of PAIRS, from embeddings float64[N,3,E]."""
    columns = [((embeddings[:, i] - embeddings[:, j]) ** 2).sum(-1) for i, j in PAIRS]
    return np.stack(columns, axis=-1)
