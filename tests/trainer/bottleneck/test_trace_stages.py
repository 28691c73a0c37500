"""Which stage an iterator, an operation, a share of a step is, in traces that are made up."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.explanations import (
    MODEL,
    PARTS,
    by_trace,
    explanation,
    iterator,
    operation,
)
from trainer.bottleneck.trace.events import covered, own_times
from trainer.bottleneck.trace.explanation import Split
from trainer.bottleneck.trace.operations import stage_of_operation
from trainer.bottleneck.trace.trace_stages import culprit, stage_of, stage_shares, work_of


@given(st.lists(st.floats(0.001, 1), min_size=len(PARTS), max_size=len(PARTS)), st.booleans())
def test_shares_by_stage_add_up_to_a_step(numbers, cpu):
    split = Split(*(number / sum(numbers) for number in numbers))
    found = dataclasses.replace(
        explanation("CPU_ONLY" if cpu else "GPU"),
        split=split,
        operations=(
            MODEL,
            operation("device_preprocess/crop/Slice", "Slice", 100.0),
            operation("CollectiveReduceV2", "CollectiveReduceV2", 50.0),
        ),
    )
    shares = stage_shares(found)
    assert shares is not None
    assert math.isclose(sum(shares.values()), 1, rel_tol=1e-9)
    assert json.loads(json.dumps(by_trace(found)))["shares"] == shares


def test_a_step_is_divided_as_its_operations_are():
    """Model 300 ms, layers on the device 90 + 60, collectives 100 and updating the weights 50: of
    60 % half, a quarter, a sixth and a twelfth.
    """
    found = dataclasses.replace(
        explanation(input=0.4),
        operations=(
            MODEL,
            operation("device_preprocess/augmentation/resize/Resize", "ResizeBilinear", 90.0),
            operation("while/body/_1/while/replica_1/device_preprocess/flip", "ReverseV2", 60.0),
            operation("CollectiveReduceV2_1", "CollectiveReduceV2", 100.0),
            operation("replica_1/update_1/Adam/update_3/Square", "Square", 50.0),
            operation("map/while/body/_1/map/while/Resize", "ResizeBilinear", 1000.0),
            operation("DecodeJpeg", "DecodeJpeg", 1000.0),
            operation("decode/Cast", "Cast", 1000.0),
            operation("GatherV2", "GatherV2", 1000.0),
        ),
    )
    assert work_of(found) == {
        "model": 300.0,
        "device_preprocess": 150.0,
        "collective": 100.0,
        "host_overhead": 50.0,
    }
    assert stage_shares(found) == {
        "model": pytest.approx(0.3),
        "device_preprocess": pytest.approx(0.15),
        "collective": pytest.approx(0.1),
        "host_overhead": pytest.approx(0.05),
        "decode": 0.4,
    }


@pytest.mark.parametrize(
    ("name", "kind", "on_device", "stage"),
    [
        ("host_map/map/while/body/_1/host_map/map/while/decode/DecodeJpeg", "x", False, "decode"),
        (
            "host_map/map/while/body/_1/host_map/map/while/host_map/Round",
            "Round",
            False,
            "host_map",
        ),
        ("host_map_1/TensorListStack", "TensorListStack", False, "host_map"),
        ("parse/ParseExample/ParseExampleV2", "ParseExampleV2", False, "parse"),
        ("storage/PyFunc", "PyFunc", False, "storage"),
        ("device_preprocess/augmentation/Cast", "Cast", False, "device_preprocess"),
        ("replica_1/update/AdaBound/update_1_2/Mul", "Mul", False, "host_overhead"),
        ("while/body/_3/while/update/Adam/Mul", "Mul", True, "host_overhead"),
        ("update/AddN", "AddN", False, "collective"),
        ("replica_1/update_1/concat_2", "ConcatV2", True, "collective"),
        ("update/clip_by_global_norm/global_norm/AddN", "AddN", False, "host_overhead"),
        ("autoencoder/decode/Conv2D", "Conv2D", False, "model"),
        ("model/update/Mul", "Mul", False, "model"),
        ("decode/Conv2D", "Conv2D", True, "model"),
        ("decoder/CTCBeamSearchDecoder", "CTCBeamSearchDecoder", True, "model"),
        ("table/argsort/TopKV2", "TopKV2", False, "table"),
        ("gradient_tape/model/conv/Conv2DBackpropFilter", "x", False, "model"),
        ("model/update_gate/MatMul", "MatMul", False, "model"),
        ("AllReduce/CollectiveReduceV2", "CollectiveReduceV2", False, "collective"),
        ("update/ncclAllReduce", "NcclAllReduce", True, "collective"),
        ("map/while/DecodePng", "DecodePng", False, "decode"),
        ("ParseSingleExample", "ParseSingleExample", False, "parse"),
        ("map/while/Resize", "ResizeBilinear", False, None),
        ("GatherV2", "GatherV2", False, None),
        ("MatMul", "MatMul", True, "model"),
        ("PyFunc", "PyFunc", False, None),
    ],
)
def test_what_an_operation_is_for_is_in_its_name(name, kind, on_device, stage):
    """By the outermost scope, of input the innermost, else by type; on a device there is nothing of
    the input.
    """
    assert stage_of_operation(name, kind, on_device) == stage


def test_a_slow_stage_is_found_below_all_that_wait_for_it():
    """Each waits on a thread of its own for the next one; reading and parsing are ready."""
    chain = ["Iterator::Root", "Prefetch", "MapAndBatch", "ParallelMapV2", "Map", "Range"]
    own = [900.0, 880.0, 870.0, 860.0, 90.0, 1.0]
    found = [iterator("::".join(chain[: at + 1]), ms) for at, ms in enumerate(own)]
    slowest = culprit(found)
    assert slowest is not None and slowest.kind == "ParallelMapV2"


def test_work_is_not_taken_for_waiting():
    """A map on the thread of its reader: both times are their own."""
    reader = iterator("Iterator::Root::Prefetch::Map::TFRecord", 60.0)
    mapped = iterator("Iterator::Root::Prefetch::Map", 90.0)
    assert culprit([reader, mapped]) == mapped


def test_a_dataset_inside_a_function_is_below_the_stage_that_calls_it():
    found = culprit(
        [
            iterator("Iterator::Root::Prefetch::FlatMap::Prefetch::Map", 180.0),
            iterator("SingleElementIterator::MapAndBatch", 161.0),
            iterator("SingleElementIterator::MapAndBatch::ParallelInterleaveV4::TFRecord", 43.0),
        ]
    )
    assert found is not None and stage_of(found, ()) == "table"


def test_what_only_hands_on_is_nobodys_bottleneck():
    assert culprit([]) is None
    assert culprit([iterator("Iterator::Root::Prefetch::Generator", 500.0)]) is None


DECODERS = (operation("DecodeJpeg", "DecodeJpeg", 60.0),)


PARSERS = (operation("ParseExample/ParseExampleV2", "ParseExampleV2", 60.0),)


@pytest.mark.parametrize(
    ("path", "name", "operations", "stage"),
    [
        ("Iterator::Root::ParallelMapV2", "storage", DECODERS, "storage"),
        ("Iterator::Root::MapAndBatch", "fused(host_map,batching)", DECODERS, "host_map"),
        ("Iterator::Root::MapAndBatch", "fused(fused(parse,decode),?)", DECODERS, "decode"),
        ("Iterator::Root::MapAndBatch", "fused(fused(parse,decode),?)", PARSERS, "parse"),
        ("Iterator::Root::MapAndBatch", "fused(storage,decode)", (), "storage"),
        ("Iterator::Root::ParallelInterleaveV4::FlatMap::TFRecord", "", DECODERS, "storage"),
        ("Iterator::Root::ParallelMapV2", "", DECODERS, "decode"),
        ("Iterator::Root::ParallelMapV2", "", PARSERS, "parse"),
        ("Iterator::Root::ParallelMapV2", "", (), "host_map"),
        ("Iterator::Root::Shuffle", "", (), "host_map"),
        ("SingleElementIterator::MapAndBatch", "", DECODERS, "table"),
        ("SingleElementIterator::MapAndBatch", "decode", (), "decode"),
    ],
)
def test_the_stage_of_an_iterator(path, name, operations, stage):
    """By its name where that says one stage, else by its kind, else by what ran: 60 ms of 100."""
    assert stage_of(iterator(path, 100.0, name), operations) == stage


def test_operations_that_take_a_part_of_the_wait_do_not_explain_it():
    """60 ms of 100 do, 60 of 121 do not."""
    assert stage_of(iterator("Iterator::Root::Map", 121.0), DECODERS) == "host_map"


def test_own_time_is_without_what_ran_inside():
    """On a thread: 100 with 30 and 20 in it, of which 30 has 10; then 5 right at its end."""
    spans = [(100, 5), (50, 20), (15, 10), (10, 30), (0, 100)]
    assert own_times(spans) == [5, 20, 10, 20, 50]


@given(st.lists(st.integers(0, 50), max_size=20))
def test_own_times_of_nested_spans_add_up_to_the_outermost(cuts):
    ends = sorted(set(cuts), reverse=True)
    assert sum(own_times([(100 - end, 2 * end + 1) for end in ends])) == (
        2 * ends[0] + 1 if ends else 0
    )


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12))
def test_what_spans_cover_together_is_counted_once(spans):
    moments = {at for start, duration in spans for at in range(start, start + duration)}
    assert covered(spans) == len(moments)
