"""Each piece of advice: when it is given, and what it predicts."""

import dataclasses
import inspect

import pytest

from tests.trainer.bottleneck.test_step_model import measured, timing
from trainer.bottleneck import sentences
from trainer.bottleneck.bottleneck import Advice, Kind
from trainer.bottleneck.phases import phase_rules, phase_table
from trainer.bottleneck.phases.diagnosis_facts import Facts
from trainer.bottleneck.phases.diagnosis_json import diagnosis_json
from trainer.bottleneck.phases.measurements import InputTiming, Timing
from trainer.bottleneck.phases.phase_rules import phase_advice
from trainer.bottleneck.phases.phase_verdict import phase_verdict
from trainer.bottleneck.phases.step_model import Cost, fit

FACTS = Facts(
    table="",
    table_fits=False,
    decoded_share=1.0,
    raw_growth=0.0,
    stored_side=100,
    used_side=100,
    gather=Cost(),
    shards=8,
    parallel_reads=2,
    steps_per_execution=10,
    batch_size=100,
    steps_per_epoch=1,
    augment=False,
    gpu_capability=0.0,
    precision="float32",
)


def given(found, **changes):
    """The advice by the rule's name, for FACTS under which no rule but the change's speaks."""
    facts = dataclasses.replace(FACTS, **changes)
    return {each.remedy: each for each in phase_advice(facts, fit(found), found)}


def caveats(found):
    return sentences.caveats(phase_verdict(fit(found), found, ()))


def sentence(found):
    return sentences.verdict(phase_verdict(fit(found), found, ()))


def as_json(found):
    model = fit(found)
    return diagnosis_json(phase_verdict(model, found, ()), model, found)


def slow(stage, seconds=0.080, cpu=0.0, **changes):
    """Input of one stage that a step of 20 ms and 100 pictures waits for."""
    return measured([(stage, timing(seconds, cpu))], full=timing(seconds), **changes)


def test_four_times_as_many_reads_wait_a_quarter_of_the_time():
    """80 ms a step, nothing of it work: 20 ms with eight instead of two, 5,000 images/s."""
    advice = given(slow("storage"))["more_parallel_reads"]
    assert advice.images_per_second == pytest.approx(5_000)
    assert advice.change == {"data.parallel_reads": "8"}
    assert advice.same_training


def test_reading_that_fills_the_cores_is_not_helped_by_more_of_it():
    busy = measured([("storage", timing(0.080, cpu=0.080))], full=timing(0.080))
    assert "more_parallel_reads" not in given(busy)  # Python's, one thread at a time
    assert "more_parallel_reads" in given(busy, table="decoded")  # on 4 cores, 20 of 80 ms
    busy = measured([("storage", timing(0.080, cpu=0.320))], full=timing(0.080))
    assert "more_parallel_reads" not in given(busy, table="decoded")
    assert "more_parallel_reads" not in given(slow("storage"), parallel_reads=32)


def test_a_table_reads_no_more_files_side_by_side_than_there_are():
    """Four shards, 8 reads wanted: 80 ms become 40 with 4. With two, more shards are advised: a
    quarter of the time with 8.
    """
    found = slow("storage")
    four = given(found, table="decoded", shards=4)["more_parallel_reads"]
    assert four.change == {"data.parallel_reads": "4"}
    assert four.images_per_second == pytest.approx(2_500)
    two = given(found, table="decoded", shards=2)
    assert "more_parallel_reads" not in two
    assert "--shards=8" in sentences.advice_text(two["more_shards"])
    assert two["more_shards"].images_per_second == pytest.approx(5_000)
    assert "more_shards" not in given(found, table="decoded", shards=3)
    assert "more_shards" not in given(found, shards=2)


def test_a_decoded_table_is_advised_where_it_fits_and_pictures_come_again():
    """80 ms of decoding a step become the 20 ms of the device; from an encoded table in which
    each picture is used four times, 80 / 4 = 20 ms.
    """
    found = slow("decode")
    fits = {"table_fits": True, "decoded_share": 0.0}
    assert given(found, **fits)["decoded_table"].images_per_second == pytest.approx(5_000)
    encoded = {"table_fits": True, "decoded_share": 0.5, "table": "encoded"}
    advice = given(found, **encoded)["decoded_table"]
    assert advice.images_per_second == pytest.approx(2_500)
    assert advice.change == {"data.image_table": "decoded"}
    for no in ({"table_fits": False}, {"decoded_share": 1.0}, {"table": "decoded"}):
        assert "decoded_table" not in given(found, **{**fits, **no})


@pytest.mark.parametrize(("side", "advised"), [(124, False), (125, True), (200, True)])
def test_pictures_much_larger_than_what_is_used_are_to_be_stored_smaller(side, advised):
    found = given(slow("decode"), stored_side=side)
    assert ("store_smaller" in found) == advised
    if side == 200:  # a quarter of the pixels: 80 ms become 20
        assert found["store_smaller"].images_per_second == pytest.approx(5_000)
        assert "--image_size=100" in sentences.advice_text(found["store_smaller"])


def test_smaller_pictures_are_no_remedy_for_reads_that_wait():
    """A quarter of the bytes: 80 ms of work become 20, of waiting they stay."""
    busy = measured([("storage", timing(0.080, cpu=0.080))], full=timing(0.080))
    found = given(busy, stored_side=200)["store_smaller"]
    assert found.images_per_second == pytest.approx(5_000)
    assert "store_smaller" not in given(slow("storage"), stored_side=200)


def test_pictures_of_several_sizes_are_to_be_stored_in_one():
    assert "one_stored_size" in given(slow("host_map"), stored_side=0)
    assert "one_stored_size" not in given(slow("host_map"))


def test_raw_pixels_are_advised_where_decoding_binds():
    """2 of 80 ms are reading, of 13 times the bytes 26."""
    found = measured([("storage", timing(0.002)), ("decode", timing(0.080))], full=timing(0.080))
    advice = given(found, raw_growth=13.0)["store_raw"]
    assert advice.images_per_second == pytest.approx(100 / 0.026)
    assert "13 times the bytes" in sentences.advice_text(advice)
    assert "store_raw" not in given(found, raw_growth=60.0)  # 120 ms
    assert "store_raw" not in given(slow("storage"), raw_growth=13.0)
    assert "store_raw" not in given(slow("decode"))


@pytest.mark.parametrize(
    ("cpu", "cores", "milliseconds"), [(0.320, 16, 20), (0.160, 8, 60), (0.640, 16, 40)]
)
def test_input_that_fills_the_cores_is_to_have_those_that_keep_up_with_the_step(
    cpu, cores, milliseconds
):
    """Decoding takes 80 ms on 4 cores, the step 20. Where it fills them, 320 ms of work are done in
    20 by 16. Where it fills two, 40 of its 80 ms are work, which 8 do in 20. Four times as many
    cores do 640 ms, of which a step of 160 is made, in 40.
    """
    seconds = max(0.080, cpu / 4)
    advice = given(slow("decode", seconds, cpu=cpu))["more_cores"]
    assert advice.images_per_second == pytest.approx(100 / (milliseconds / 1000))
    assert f"{cores} processor cores instead of 4" in sentences.advice_text(advice)
    assert not advice.change


def test_more_cores_are_no_remedy_where_those_there_are_wait():
    assert "more_cores" not in given(slow("decode"))
    python = measured([("storage", timing(0.080, cpu=0.080))], full=timing(0.080))
    assert "more_cores" not in given(python)  # one thread at a time


def test_on_device_layers_can_go_into_the_stored_variants():
    """10 of 20 ms: twice the speed. What is learned is no longer the same."""
    found = measured(preprocess=timing(0.010), small_preprocess=timing(0.005))
    advice = given(found, augment=True)["variants_offline"]
    assert advice.images_per_second == pytest.approx(10_000)
    assert not advice.same_training
    assert "variants_offline" not in given(found)


def test_the_layer_that_takes_most_of_their_time_is_named():
    """7 of 10 ms: without it 100 pictures take 13 instead of 20 ms."""
    layers = (("flip", 0.001), ("zoom_rotation", 0.007), ("hue", 0.002))
    times = {"preprocess": timing(0.010), "small_preprocess": timing(0.005)}
    advice = given(measured(**times, layers=layers), augment=True)["costly_layer"]
    assert advice.images_per_second == pytest.approx(100 / 0.013)
    assert "on-device layer zoom_rotation, which takes 70 % of" in sentences.advice_text(advice)
    assert not advice.change
    assert "costly_layer" not in given(measured(**times, layers=layers[1:2]), augment=True)
    assert "costly_layer" not in given(measured(**times), augment=True)
    nothing = (("flip", 0.0), ("hue", 0.0))  # less than the noise, beside a large resize
    assert "costly_layer" not in given(measured(**times, layers=nothing), augment=True)


def test_python_has_its_turn_once_in_ten_steps():
    """30 ms of Python beside a step of 20 become 3: 100 pictures in 23 ms."""
    found = measured(resident=timing(0.050), full=timing(0.050))
    several = {"steps_per_execution": 1, "steps_per_epoch": 100}
    advice = given(found, **several)["steps_per_execution"]
    assert advice.images_per_second == pytest.approx(100 / 0.023)
    assert advice.change == {"steps_per_execution": "10"}
    assert "steps_per_execution" not in given(found, steps_per_epoch=100)
    assert "steps_per_execution" not in given(found, steps_per_execution=1)


def test_a_larger_batch_spreads_what_does_not_grow_with_it():
    """16 of 20 ms do not grow: 400 pictures take 16 + 4 * 4 = 32 ms."""
    found = measured(small_step=timing(0.018), preprocess=timing(0.0), small_preprocess=timing(0.0))
    advice = given(found, steps_per_epoch=4)["larger_batch"]
    assert advice.images_per_second == pytest.approx(400 / 0.032)
    assert advice.change == {"batch_size": "400"}
    assert not advice.same_training
    assert "larger_batch" not in given(found, steps_per_epoch=3)


@pytest.mark.parametrize(("capability", "advised"), [(7.5, False), (8.0, True), (9.0, True)])
def test_bfloat16_is_advised_from_ampere_on_without_a_promise(capability, advised):
    found = given(measured(), gpu_capability=capability)
    assert ("mixed_precision" in found) == advised
    if advised:
        assert found["mixed_precision"].images_per_second is None
        already = given(measured(), gpu_capability=capability, precision="mixed_bfloat16")
        assert "mixed_precision" not in already


def test_a_slow_replica_is_named():
    """Alone 18 ms against 8: 10 of a step of 20 ms are the other's wait."""
    found = measured(replicas=2, each_replica=((0.008,), (0.018,)))
    advice = given(found)["slow_replica"]
    assert "replica 0 of worker 1" in sentences.advice_text(advice)
    assert "2.2 times" in sentences.advice_text(advice)
    assert advice.images_per_second == pytest.approx(10_000)
    assert "of worker 1" in sentence(found)


@pytest.mark.parametrize("each", [((0.008,), (0.008,)), ((0.008,), (0.0095,))])
def test_replicas_that_are_about_equal_are_not_blamed_for_the_sum_of_gradients(each):
    """15 of 20 ms for summing, two replicas within the threshold of each other."""
    found = measured(replicas=2, each_replica=each, all_reduce=timing(0.015))
    assert "slow_replica" not in given(found)
    assert fit(found).binding == "collective"
    assert "slowest" not in sentence(found)


def test_a_larger_batch_does_not_shorten_the_wait_for_a_slow_replica():
    """Its share of a larger batch takes it longer, too."""
    found = measured(replicas=2, each_replica=((0.008, 0.018),), preprocess=timing(0.0))
    assert "larger_batch" not in given(found, steps_per_epoch=4)


def test_where_the_model_is_the_limit_it_is_said_last():
    assert "more_devices" in given(measured())
    assert "more_devices" not in given(slow("decode"))
    found = list(given(measured(preprocess=timing(0.004)), augment=True))
    assert found == ["variants_offline", "more_devices"]


@pytest.mark.parametrize(("share", "advised"), [(0.05, True), (0.04, False)])
def test_a_small_promise_is_none(share, advised):
    """Without the layers a step takes 1 / (1 + share) of its time."""
    layers = 0.020 * (1 - 1 / (1.0001 + share))
    found = measured(preprocess=timing(layers), small_preprocess=timing(layers))
    assert ("variants_offline" in given(found, augment=True)) == advised


def test_a_gain_within_the_noise_is_not_sold_as_one():
    advice = Advice("more_parallel_reads", {"reads": 8, "now": 2}, images_per_second=105.0)
    line = "--config.data.parallel_reads=8: 100 images/s before, 110 after; predicted 105 (+5%)"
    assert phase_table.applied(advice, 100, 110, 0.09) == line
    with_noise = phase_table.applied(advice, 100, 110, 0.11)
    assert with_noise.startswith(f"{line}; no more than the rounds")


def test_the_rules_are_in_the_list_once():
    rules = phase_rules.RULES
    assert len(set(rules)) == len(rules)
    public = {
        value
        for name, value in vars(phase_rules).items()
        if inspect.isfunction(value)
        and value.__module__ == phase_rules.__name__
        and not name.startswith("_")
    }
    assert set(rules) == public - {phase_rules.phase_advice}


def test_the_table_and_the_sentence_are_understood_at_once():
    found = measured(
        [("storage", timing(0.040)), ("parse", timing(0.041)), ("host_map", timing(0.050))],
        full=timing(0.050),
        transfer=timing(0.050),
    )
    model = fit(found)
    lines = phase_table.table(model, found)
    assert lines[0].split() == ["phase", "images/s", "ms", "a", "step", "spread"]
    assert lines[1].split() == ["storage", "2,500", "40.00"]
    assert lines[3].split() == ["+", "host", "map", "2,000", "50.00"]
    assert any(line.startswith("storage") and line.endswith("<- binds") for line in lines)
    assert sentence(found) == (
        "Input-bound: 48% of step time waits for reading; without it, 5,000 images/s instead "
        "of 2,000."
    )
    bottleneck = sentences.as_json(phase_verdict(model, found, ()))
    assert (bottleneck["kind"], bottleneck["stage"]) == ("input", "storage")
    assert bottleneck["source"] == "phases"
    assert bottleneck["input_tax"] == pytest.approx(0.6)


def test_it_is_said_where_a_pass_is_slower_than_what_was_measured():
    """A table's 60 ms a step against 20 measured; a step that noise made longer is no such case."""
    inputs = [("table", timing(0.060)), ("host_map", timing(0.005))]
    found = measured(inputs, transfer=timing(0.060), full=timing(0.020))
    assert any(
        "a whole pass goes at 1,667 images/s" in line
        for line in phase_table.table(fit(found), found)
    )
    noisy = measured(resident=timing(0.030), full=timing(0.020))
    assert not any("a whole pass" in line for line in phase_table.table(fit(noisy), noisy))


def in_rounds(*seconds):
    """A step of 20 ms whose batches, of one input stage, took so many seconds; a number a round."""
    none = (0.0,) * len(seconds)
    once = measured([("decode", timing(0.0))])
    rounds = {
        field.name: Timing(value.seconds * len(seconds), none)
        for field in dataclasses.fields(once)
        if isinstance(value := getattr(once, field.name), Timing)
    }
    rounds["transfer"] = Timing(seconds, none)
    rounds["full"] = Timing(tuple(max(0.020, each) for each in seconds), none)
    return dataclasses.replace(once, inputs=(InputTiming("decode", rounds["transfer"]),), **rounds)


def test_rounds_that_disagree_about_what_binds_are_told():
    """14 of 20 ms are the model's; where decoding takes 80 ms it binds, by one round of three."""
    found = in_rounds(0.001, 0.080, 0.001)
    assert fit(found).binding == "model"
    assert as_json(found)["stages_of_rounds"] == ["model", "decode", "model"]
    assert caveats(found) == [
        "Not certain: 1 of 3 rounds, taken alone, would say decode. Measure longer (--seconds=5), "
        "or when nothing else runs."
    ]
    assert as_json(found)["caveats"] == caveats(found)
    for same in (in_rounds(0.080, 0.070, 0.090), in_rounds(0.001, 0.002, 0.001), measured()):
        assert not caveats(same)


@pytest.mark.parametrize(("longest", "told"), [(0.0903, False), (0.0905, True)])
def test_rounds_that_are_far_apart_are_told(longest, told):
    """(90.4 - 66.3) / 80.3 ms is 30 %, of the median; all rounds say decode."""
    found = in_rounds(0.0803, longest, 0.0663)
    said = caveats(found)
    assert [line.startswith("Rough figures: ") for line in said] == [True] * told


@pytest.mark.parametrize(
    ("own", "others", "told"),
    [(0.71, 0.2, True), (0.71, 0.199, False), (0.69, 0.2, False), (None, None, False)],
)
def test_other_processes_are_told_where_nothing_of_the_processor_is_left(own, others, told):
    found = measured(processor=own, processor_of_others=others)
    said = caveats(found)
    assert [line.startswith("Other processes took 20%") for line in said] == [True] * told


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, Kind.COMPUTE),
        ({"preprocess": timing(0.018), "small_preprocess": timing(0.009)}, Kind.COMPUTE),
        ({"resident": timing(0.090), "full": timing(0.090)}, Kind.OVERHEAD),
        ({"replicas": 2, "each_replica": ((0.008, 0.018),)}, Kind.COMMUNICATION),
        ({"inputs": [("decode", timing(0.080))], "full": timing(0.080)}, Kind.INPUT),
    ],
)
def test_the_kind_follows_from_the_stage_that_binds(changes, kind):
    found = measured(changes.pop("inputs", ()), **changes)
    bottleneck = phase_verdict(fit(found), found, ())
    assert bottleneck.kind is kind
    assert sentences.verdict(bottleneck).startswith(f"{sentences.HEADLINES[kind]}: ")


@pytest.mark.parametrize(("other", "kind"), [(0.040, Kind.INPUT_ONE_WORKER), (0.041, Kind.INPUT)])
def test_a_worker_whose_input_takes_twice_as_long_as_the_others_is_named(other, kind):
    found = dataclasses.replace(slow("decode"), worker_inputs=(other, 0.080))
    bottleneck = phase_verdict(fit(found), found, ())
    assert bottleneck.kind is kind
    one = kind is Kind.INPUT_ONE_WORKER
    assert ("(of worker 1, for which the others wait)" in sentences.verdict(bottleneck)) == one
