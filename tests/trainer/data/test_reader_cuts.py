"""A reader cut after each of its stages: what they count, and that each one is really done."""

import statistics
import threading
import time

import numpy as np
import pytest
from PIL import Image

from preprocess.dataset_format import Manifest
from tests.trainer import datasets
from trainer.data.order import ReplicaSlice
from trainer.data.payloads import Payloads
from trainer.data.reader import open_reader
from trainer.data.records import StoredPictures

ONE = ReplicaSlice()
STREAMED = ["storage", "parse", "decode", "host_map"]
DECODED = ["storage", "parse", "decode", "table", "host_map"]
ENCODED = ["storage", "parse", "table", "decode", "host_map"]


def reader_of(data, base=datasets.CLASSIFICATION, **changes):
    config = datasets.configuration(base, **changes)
    return open_reader(data, Manifest.load(data), "train", config, training=True)


def counts(cut, pictures):
    """The first elements of a cut that add up to so many pictures, or to more."""
    found = []
    for element in cut.dataset():
        found.append(int(element))
        if sum(found) >= pictures:
            return found
    return found


def by_stage(reader, part=ONE):
    return {cut.stage: cut for cut in reader.cuts(part)}


@pytest.mark.parametrize(
    ("table", "stages"), [("auto", STREAMED), ("decoded", DECODED), ("encoded", ENCODED)]
)
def test_the_cuts_of_a_classifier_are_its_stages_in_order(class_data, table, stages):
    reader = reader_of(class_data, data__image_table=table)
    assert [cut.stage for cut in reader.cuts(ONE)] == stages


@pytest.mark.parametrize(("table", "stages"), [("decoded", DECODED), ("encoded", ENCODED)])
def test_the_cuts_of_triplets_are_their_stages_in_order(triplet_data, table, stages):
    reader = reader_of(triplet_data, datasets.TRIPLET, data__image_table=table)
    assert [cut.stage for cut in reader.cuts(ONE)] == stages


@pytest.mark.parametrize("part", [ONE, ReplicaSlice(1, 1, 2), ReplicaSlice(0, 2, 2)])
def test_elements_of_a_streaming_classifier_add_up_to_the_steps_of_a_pass(class_data, part):
    """3 steps of 8, padding included; a replica of two has 4 of each, two in turn all 8."""
    reader = reader_of(class_data)
    here = 8 * part.count / part.total
    for cut in reader.cuts(part):
        assert (cut.pictures_a_step, cut.once) == (here, False)
        found = counts(cut, 3 * here)
        assert found == [8 // part.total] * (3 * part.count)


@pytest.mark.parametrize("table", ["decoded", "encoded"])
def test_elements_of_a_table_add_up_to_its_pictures_pass_after_pass(class_data, table):
    """21 pictures fill the table of each pass of 3 steps: 7 a step. Batches of 8 are gathered."""
    cuts = reader_of(class_data, data__image_table=table).cuts(ONE)
    filled = 1 + [cut.stage for cut in cuts].index("table")
    for cut in cuts[:filled]:
        assert (cut.pictures_a_step, cut.once) == (7, False)
        assert counts(cut, 42) == [21, 21]
    for cut in cuts[filled:]:
        assert (cut.pictures_a_step, cut.once) == (8, False)
        assert counts(cut, 48) == [8] * 6


def test_triplets_gather_three_pictures_a_record(triplet_data):
    """22 pictures, 5 steps a pass of 8 triplets; of two replicas in turn 12 each."""
    cuts = by_stage(reader_of(triplet_data, datasets.TRIPLET), ReplicaSlice(0, 2, 2))
    assert counts(cuts["table"], 44) == [22, 22]
    assert cuts["table"].pictures_a_step == pytest.approx(22 / 5)
    assert cuts["host_map"].pictures_a_step == 24
    assert counts(cuts["host_map"], 5 * 24) == [12] * 10


def test_a_table_for_all_passes_is_filled_once_and_no_part_of_a_step(class_data):
    reader = reader_of(class_data, data__image_table="decoded", data__variants=1)
    found = {cut.stage: (cut.once, cut.pictures_a_step) for cut in reader.cuts(ONE)}
    filling = dict.fromkeys(DECODED[:-1], (True, 0))
    assert found == {**filling, "host_map": (False, 8)}


def test_of_a_large_table_a_part_is_built_and_gathered_from(class_data, monkeypatch):
    """Five pictures of 24 * 24 * 3 bytes are built over and over, three stand in for all 21."""
    from trainer.data import cuts

    monkeypatch.setattr(cuts, "BUILT_BYTES", 5 * 24 * 24 * 3)
    monkeypatch.setattr(cuts, "GATHERED_BYTES", 3 * 24 * 24 * 3)
    reader = reader_of(class_data, data__image_table="decoded")
    found = by_stage(reader)
    assert counts(found["table"], 10) == [5, 5]
    batches = reader._gathered(0, ONE, reader._of_rows, 3).take(3)
    pictures = np.concatenate([batch["image"].numpy() for batch in batches])
    assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) == 3


@pytest.fixture(scope="module")
def large_data(tmp_path_factory):
    """16 pictures of 512x512, JPEG."""
    folder = tmp_path_factory.mktemp("large")
    for number in range(16):
        path = folder / "pictures" / "train" / datasets.CLASSES[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.picture(True, number, (64, 64)).resize((512, 512), Image.BICUBIC).save(path)
    return datasets.build(
        folder / "dataset", "--source=folders", f"--images={folder}/pictures", "--variants=1"
    )


def processor_seconds(cut):
    """Of a picture, the median of several elements' worth."""
    elements, found = iter(cut.dataset()), []
    next(elements)
    for _ in range(5):
        begun, pictures = time.process_time(), 0
        while time.process_time() - begun < 0.04:
            pictures += int(next(elements))
        found.append((time.process_time() - begun) / pictures)
    return statistics.median(found)


@pytest.mark.parametrize("table", ["auto", "decoded", "encoded"])
def test_decoding_is_really_done_by_its_cut(large_data, table):
    """By processor time, which other work on the machine leaves alone. 786,432 bytes of pixels
    take 4 to 10 times what parsing takes with all that is around it; left out, it would be once.
    Stages after it do it too.
    """
    changes = {"data__image_table": table, "data__validation_splits": ()}
    reader = reader_of(large_data, batch_size=4, **changes)
    found = {stage: processor_seconds(cut) for stage, cut in by_stage(reader).items()}
    assert found["decode"] > 2 * found["parse"]
    also = {"auto": "host_map", "decoded": "table", "encoded": "host_map"}[table]
    assert found[also] > 2 * found["parse"]


def slow_reads(monkeypatch, seconds):
    """Each record takes so long to arrive."""
    real = StoredPictures.payload

    def slow(self, *place):
        time.sleep(seconds)
        return real(self, *place)

    monkeypatch.setattr(StoredPictures, "payload", slow)


def test_a_slow_storage_shows_in_every_cut_of_a_stream(class_data, monkeypatch):
    """4 ms a record, two batches of 8 at a time: 20 batches take at least 0.3 s, of which a few
    that were read ahead are taken off.
    """
    slow_reads(monkeypatch, 0.004)
    for cut in reader_of(class_data).cuts(ONE):
        begun = time.perf_counter()
        assert len(counts(cut, 8 * 20)) == 20
        assert time.perf_counter() - begun > 20 * 8 * 0.004 / 2 * 0.9, cut.stage


@pytest.mark.parametrize("reads", [2, 8])
def test_as_many_reads_go_on_at_a_time_as_are_asked_for(class_data, monkeypatch, reads):
    """None of them goes on before the others are there, too."""
    read, together = Payloads.read, threading.Barrier(reads)
    there: list[object] = []
    most: list[int] = []

    def counted(self, *batch):
        there.append(batch)
        most.append(len(there))
        try:
            together.wait(60)
            return read(self, *batch)
        finally:
            there.remove(batch)

    monkeypatch.setattr(Payloads, "read", counted)
    batches = reader_of(class_data, data__parallel_reads=reads).dataset(0, ONE, 3 * reads)
    assert len(list(batches)) == 3 * reads and max(most) == reads
