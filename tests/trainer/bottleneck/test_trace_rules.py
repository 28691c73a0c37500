"""Rules, words and verdicts of traces that are made up."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tests.trainer.explanations import (
    DECODING,
    MODEL,
    PARTS,
    by_both,
    by_loop,
    by_trace,
    explanation,
    iterator,
    operation,
    row,
    waited,
)
from trainer.bottleneck import sentences, thresholds
from trainer.bottleneck.remedies import REMEDIES
from trainer.bottleneck.trace import lines
from trainer.bottleneck.trace import trace_rules as rules
from trainer.bottleneck.trace.explanation import Split
from trainer.bottleneck.trace.trace_stages import NAMED_STAGES, stage_shares


@pytest.mark.parametrize(
    ("rule", "part", "limit"),
    [
        (rules.InputWait(), "input", 0.05),
        (rules.Transfer(), "transfer", 0.05),
        (rules.Output(), "output", 0.05),
        (rules.KernelLaunch(), "kernel_launch", 0.03),
        (rules.Collectives(), "collectives", 0.03),
        (rules.Python(), "others", 0.03),
        (rules.Between(), "between", 0.15),
    ],
)
def test_a_rule_applies_from_its_threshold_on(rule, part, limit):
    above, below = math.nextafter(limit, 1), math.nextafter(limit, 0)
    said = [rule.applies(explanation("GPU", **{part: share})) for share in (below, limit, above)]
    assert said == [False, True, True]
    text = sentences.advice_text(rule.advice(explanation("GPU", **{part: limit})))
    assert text.startswith(f"{limit:.1%} of step time")


def advised(found):
    """The advice on a trace as text."""
    return [sentences.advice_text(advice) for advice in rules.trace_advice(found)]


def test_every_part_of_a_step_that_is_no_work_has_a_rule():
    covered = {part for rule in rules.RULES for part in rule.parts}
    assert set(PARTS) - covered == {"host_compute", "device_compute", "compile"}


def test_a_batch_that_is_there_at_once_was_not_waited_for():
    """50 us is "at once", and a step so short that this is half of it is not input-bound."""
    limit = thresholds.GET_NEXT_MICROSECONDS
    said = [
        rules.InputWait().applies(explanation(latency_us=us, input=0.5))
        for us in (limit * 0.999, limit, limit * 1.001)
    ]
    assert said == [False, False, True]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.6])
@pytest.mark.parametrize(("factor", "ready"), [(0.999, True), (1.0, True), (1.001, False)])
def test_a_verdict_blames_no_input_that_is_there_at_once(share, factor, ready):
    """The limit of the rule is the verdict's: handing a batch over is overhead, the largest part of
    a step or not.
    """
    found = explanation(latency_us=thresholds.GET_NEXT_MICROSECONDS * factor, input=share)
    verdict = by_trace(found)
    assert ("nput-bound" in verdict["verdict"]) == (not ready)
    assert any("waiting for input" in each for each in verdict["advice"]) == (not ready)
    if ready:
        kind = "Overhead-bound" if share > 0.5 else "Compute-bound"
        assert verdict["verdict"].startswith(kind)
        assert "waiting for input" not in verdict["verdict"]
        assert verdict["shares"] == pytest.approx({"model": 1 - share, "host_overhead": share})
        assert f"{share:.1%} of step time is neither input nor computing" in verdict["advice"][0]


def test_advice_begins_with_what_takes_most():
    found = advised(explanation("GPU", kernel_launch=0.1, collectives=0.3, input=0.2))
    assert [each.split(" is ")[0] for each in found] == [
        "30.0% of step time",
        "20.0% of step time",
        "10.0% of step time",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"input": 0.01}, True), ({"input": 0.19}, True), ({"input": 0.2}, False)],
)
def test_the_model_is_what_is_left_to_be_said(changes, said):
    """Of a step that does not wait, last."""
    found = advised(explanation(**changes))
    assert [" of step time is the model" in each for each in found[-1:]] == [said]
    half = thresholds.MODEL_HIGH
    parts = [math.nextafter(half, 0), half]
    steps = [explanation("GPU", device_compute=part, others=1 - part) for part in parts]
    assert [rules.Model().applies(each) for each in steps] == [False, True]


@pytest.mark.parametrize("stage", NAMED_STAGES)
def test_the_advice_on_input_names_the_stage_and_its_latency(stage):
    """900 ms in 10 calls are 90 ms a call."""
    slow = dataclasses.replace(DECODING, name=stage)
    found = dataclasses.replace(explanation(input=0.4), iterators=(slow, waited(9000)))
    [advice] = advised(found)
    assert f"the slowest is {stage} (ParallelMapV2 '{stage}', 90.0 ms a call)" in advice
    assert advice.endswith(REMEDIES[stage].text)


@pytest.mark.parametrize(
    ("input", "prefix", "stage"),
    [
        (0.049, "Compute-bound", "model"),
        (0.05, "Slightly input-bound", "model"),
        (0.199, "Slightly input-bound", "model"),
        (0.2, "Input-bound", "decode"),
    ],
)
def test_the_verdict_on_input(input, prefix, stage):
    found = by_trace(explanation(input=input))
    assert found["verdict"].startswith(f"{prefix}: {input:.1%} of step time was spent waiting")
    assert (found["stage"], found["source"], found["input_tax"]) == (stage, "profile", None)
    assert found["kind"] == ("compute" if prefix == "Compute-bound" else "input")
    assert found["shares"]["decode"] == input


@pytest.mark.parametrize(
    ("part", "stage", "prefix"),
    [
        ("others", "host_overhead", "Overhead-bound"),
        ("kernel_launch", "host_overhead", "Overhead-bound"),
        ("collectives", "collective", "Communication-bound"),
    ],
)
def test_the_verdict_on_the_rest_of_a_step(part, stage, prefix):
    """On a GPU whose operations take 30 % of a step, of another 60 %."""
    found = by_trace(explanation("GPU", input=0.04, transfer=0.06, **{part: 0.6}))
    assert found["stage"] == stage
    assert found["verdict"].startswith(f"{prefix}: 60.0% of step time")


def crowded(decoding, **changes):
    """Ten calls of 50 ms on 2 cores that have 1.8 operations to run, which is full: those of the
    model take 300 ms together, and what decoding is said to take.
    """
    decode = operation("host_map/map/while/decode/DecodeJpeg", "DecodeJpeg", decoding)
    changes = {"cores": 2, "running": 1.8, "operations": (MODEL, decode), **changes}
    return dataclasses.replace(explanation(input=0.04), **changes)


@pytest.mark.parametrize(
    ("running", "decoding", "stage"),
    [(1.799, 700.0, "model"), (1.8, 700.0, "decode"), (2.5, 700.0, "decode"), (1.8, 250, "model")],
)
def test_input_that_takes_cores_from_the_step_is_blamed_where_none_is_left(
    running, decoding, stage
):
    """Of what runs, 300 are the model's; of 96 % of a step decoding has its share, and the rest."""
    found = crowded(decoding, running=running)
    said = by_trace(found)
    assert said["stage"] == stage
    assert said["verdict"].startswith("Input-bound") == (stage == "decode")
    full, share = running >= 1.8, decoding / (300 + decoding)
    words = f"{share:.1%} of what runs on the processor, which the steps share, is decode: "
    assert any(each.startswith(words) for each in said["advice"]) == full
    assert said["shares"]["decode"] == pytest.approx(0.96 * share * full + 0.04)
    if stage == "decode":
        assert f"{share:.1%} of what runs on them is decode; 4.0%" in said["verdict"]
        assert said["advice"][0].endswith(REMEDIES["decode"].text)
    both = by_both([row(0.03)], found)["verdict"]
    assert (both == said["verdict"]) == (stage == "decode")
    # Nor is the step alone the limit where decoding takes cores from it.
    assert ("the step itself is the limit" in both) == (not full)
    if full and stage == "model":
        assert both.endswith(
            f"all cores are taken, and {share:.1%} of what runs on them is decode."
        )


@pytest.mark.parametrize("changes", [{"cores": None}, {"cores": 3}, {"gpus": 1}, {"running": None}])
def test_cores_are_not_taken_where_that_is_not_known(changes):
    assert crowded(700.0).is_processor_full
    assert not crowded(700.0, **changes).is_processor_full


@pytest.mark.parametrize(("busy", "full"), [(math.nextafter(1.8, 0), False), (1.8, True)])
def test_cores_are_taken_too_where_a_few_operations_fill_them(busy, full):
    """An operation may have many threads: the processor time of the process tells."""
    found = crowded(100.0, running=1.2, busy=busy)
    assert found.is_processor_full == full
    assert not found.operations_queue
    assert bool([each for each in by_trace(found)["advice"] if "decode" in each]) == full


@pytest.mark.parametrize("redecodes", [True, False, None])
def test_a_table_is_no_remedy_where_pictures_are_decoded_once_already(redecodes):
    said = by_trace(crowded(700.0, redecodes=redecodes))["advice"][0]
    assert ("image_table" in said) == (redecodes is not False)


def test_reads_that_may_be_waiting_take_no_core():
    reads = operation("storage/PyFunc", "PyFunc", 9000.0)
    assert "storage" not in (stage_shares(crowded(0.0, operations=(MODEL, reads))) or {})


def test_input_that_is_waited_for_is_blamed_for_that_alone():
    """A little waiting is what full cores bring, and has the same remedy: that is said once."""
    much = dataclasses.replace(crowded(900.0), split=Split(input=0.3, host_compute=0.7))
    assert by_trace(much)["verdict"].startswith("Input-bound: 30.0% of step time was spent")
    assert [REMEDIES["decode"].text in each for each in advised(much)] == [True]
    some = dataclasses.replace(crowded(900.0), split=Split(input=0.1, host_compute=0.9))
    assert [REMEDIES["decode"].text in each for each in advised(some)] == [True]


def test_a_trace_without_the_gpus_that_there_are_blames_nobody():
    """The profiler may not look at them; what the host does is not what a step takes."""
    found = dataclasses.replace(explanation(input=0.02), gpus=2)
    said = by_trace(found)
    assert (said["stage"], said["shares"]) == (None, None)
    assert "SYS_ADMIN" in said["verdict"]
    rows = [row(0.01)]
    own, loop = by_both(rows, found), by_loop(rows)
    assert own == {**loop, "advice": [*loop["advice"], own["advice"][-1]]}
    assert "SYS_ADMIN" in own["advice"][-1]
    assert lines(found)[0] == said["verdict"]


def test_the_trace_of_worker_0_tells_what_its_own_input_waits_for():
    rows = [{**row(0.7), "worker_input_wait_fractions": [0.7, 0.02]}]
    loop = by_loop(rows)
    assert loop["verdict"].startswith("Input-bound on one worker: worker 0")
    found = by_both(rows, explanation(input=0.6))
    assert found["kind"] == "input_one_worker"
    assert found["stage"] == "decode"
    assert found["verdict"] == f"{loop['verdict']} In its trace the input waits for decode."


@pytest.mark.parametrize(("update", "applies"), [(14.9, False), (15.0, True), (15.1, True)])
@pytest.mark.parametrize("hardware", ["CPU_ONLY", "GPU"])
def test_an_update_that_takes_much_of_a_step_asks_for_a_larger_batch(update, applies, hardware):
    """15 % of the operations, which are all there is of a step."""
    on_device = hardware == "GPU"
    operations = (
        operation("model/Conv2D", "Conv2D", 100.0 - update, on_device),
        operation("update/Adam/Mul", "Mul", update, on_device),
    )
    found = dataclasses.replace(explanation(hardware), operations=operations)
    assert rules.Update().applies(found) == applies
    assert any("take a larger one" in each for each in advised(found)) == applies


@pytest.mark.parametrize(
    ("found", "share"),
    [
        (explanation("GPU", collectives=0.5), 0.5 * 0.2),
        (explanation("GPU", host_compute=0.5), 0.5 * 0.2),
        (dataclasses.replace(explanation(), cores=2, running=2.0), 0.1),
    ],
)
def test_an_update_has_its_share_of_what_the_operations_are(found, share):
    """A fifth of those that are not collectives and not of the input, or a tenth of all."""
    on_device = found.hardware == "GPU"
    operations = (
        operation("model/Conv2D", "Conv2D", 40.0, on_device),
        operation("update/Adam/Mul", "Mul", 10.0, on_device),
        operation("AllReduce", "NcclAllReduce", 40.0, True)
        if on_device
        else operation("decode/DecodeJpeg", "DecodeJpeg", 50.0),
    )
    found = dataclasses.replace(found, operations=operations)
    assert rules.Update().share(found) == pytest.approx(share)


@pytest.mark.parametrize(("layers", "named"), [(19.9, False), (20.0, True), (45.0, True)])
def test_a_large_second_part_of_a_step_is_named_and_the_layers_have_a_remedy(layers, named):
    """20 % of the operations, which are all of a step."""
    operations = (
        operation("model/Conv2D", "Conv2D", 100.0 - layers),
        operation("device_preprocess/augmentation/Resize", "ResizeBilinear", layers),
    )
    found = dataclasses.replace(explanation(), operations=operations)
    said = by_trace(found)
    words = f"model, {1 - layers / 100:.1%}"
    words += f", then device_preprocess (the on-device layers), {layers:.1f}%." if named else "."
    assert said["verdict"].endswith(f"the largest part is {words}")
    assert by_both([row(0.01)], found)["verdict"].endswith(f"in its trace is {words}")
    assert any("augment: do so ahead of time" in each for each in said["advice"]) == named
    none = by_trace(dataclasses.replace(found, augments=False))
    assert any("a smaller --image_size" in each for each in none["advice"][:1]) == named


def test_the_layer_that_takes_most_of_their_time_is_named():
    """30 of 40 ms that layers take; what is cast and resized outside of them does not count."""
    scope = "while/body/_1/replica_1/device_preprocess"
    operations = (
        operation("model/Conv2D", "Conv2D", 50.0),
        operation(f"{scope}/Cast", "Cast", 90.0),
        operation("device_preprocess/augmentation/Cast", "Cast", 90.0),
        operation("device_preprocess/augmentation/random_flip/ReverseV2", "ReverseV2", 10.0),
        operation(f"{scope}/augmentation_1/random_hue/mul", "Mul", 10.0),
        operation("device_preprocess/augmentation/random_hue/HSVToRGB", "HSVToRGB", 20.0),
    )
    found = dataclasses.replace(explanation(), operations=operations)
    assert any("hue first, which takes 75 % of" in each for each in by_trace(found)["advice"])


def test_a_small_batch_is_named_by_what_it_costs_whatever_its_size():
    """Of 70 % computing five sevenths update the weights, 20 % lie between operations."""
    operations = (
        operation("model/dense/MatMul", "MatMul", 20.0),
        operation("update/Adam/Mul", "Mul", 50.0),
    )
    found = dataclasses.replace(explanation(others=0.1, between=0.2), operations=operations)
    said = by_trace(found)
    assert said["shares"] == pytest.approx({"model": 0.2, "host_overhead": 0.8})
    assert said["verdict"].startswith("Overhead-bound: 80.0% of step time")
    assert by_both([row(0.01)], found)["verdict"] == said["verdict"]


def test_waiting_that_no_stage_explains_has_none():
    """5 s of waiting, 1.6 s of which, less than a third, one stage may have caused."""
    quick = dataclasses.replace(DECODING, self_ms=1600.0)
    asked = iterator("Iterator::Root", 0.0, total_ms=5000.0, awaited=True)
    for iterators in ((), (quick, asked)):
        much = dataclasses.replace(explanation(input=0.5), iterators=iterators)
        assert by_trace(much)["stage"] is None and by_trace(much)["shares"] is None
        assert "which no stage of its pipeline explains" in advised(much)[0]
    little = dataclasses.replace(explanation(input=0.1), iterators=(quick, asked))
    assert by_trace(little)["shares"]["host_map"] == 0.1


def test_a_trace_without_a_step_says_so():
    found = dataclasses.replace(explanation(), steps=0, split=None, step_ms=None)
    assert by_trace(found)["stage"] is None and by_trace(found)["shares"] is None
    said = lines(found)
    assert said[0].startswith("No step was marked")
    assert not any("calls of" in line for line in said)
    assert any("ParallelMapV2 'decode' (decode)" in line for line in said)


@pytest.mark.parametrize(("steps", "few"), [(4, True), (5, False), (6, False)])
def test_few_steps_say_little(steps, few):
    said = lines(explanation(steps=steps))
    assert any("say little" in line for line in said) == few


def test_lines_hold_split_stages_operations_and_advice():
    said = lines(explanation("GPU", input=0.4, others=0.1))
    assert said[0].startswith("Input-bound: 40.0%")
    assert "made-up: 10 calls of 50.0 ms" in said
    assert "   40.0%     20.00 ms  waiting for input" in said
    assert "   50.0%  of the time the device did nothing" in said
    assert not any("kernels" in line for line in said)
    assert any(line.endswith("Conv2D  model/conv/Conv2D") for line in said)
    assert [line[:10] for line in said[-2:]] == ["-> 40.0% o", "-> 10.0% o"]
    assert not any("did nothing" in line for line in lines(explanation(input=0.4)))


@pytest.mark.parametrize(("exchanging", "told"), [(29.0, False), (31.0, True), (600.0, True)])
def test_what_a_processor_exchanges_is_advised_on(exchanging, told):
    """Of 1,000 ms of operations, from 3 % on; where it is the most, a step is bound by it."""
    operations = (
        operation("model/a/MatMul", "MatMul", 1000.0 - exchanging),
        operation("AllReduce/CollectiveReduceV2", "CollectiveReduceV2", exchanging),
    )
    said = by_trace(dataclasses.replace(explanation(), operations=operations))
    assert any("exchanging gradients" in each for each in said["advice"]) == told
    most = exchanging > 500
    assert said["verdict"].startswith("Communication-bound: 60.0%") == most
    assert said["advice"][0].startswith("60.0% of step time is exchanging gradients") == most
