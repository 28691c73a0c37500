"""The model of a step, on measurements made up so that every figure can be worked out by hand."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.bottleneck.phases.measurements import InputTiming, Measurements, Timing
from trainer.bottleneck.phases.step_model import Cost, fit, imbalance
from trainer.monitoring.stages import STAGES


def timing(seconds, cpu=0.0):
    return Timing((seconds,), (cpu,))


NOTHING = timing(0.0)


def measured(inputs=(), **changes):
    """A step of 20 ms, 2 of them on-device layers and 4 whatever the batch; input takes no time.

    Half the batch takes 12 ms: a + 0.5 (20 - a) = 12 for a = 4.
    """
    values = {
        "pictures_a_step": 100,
        "replicas": 1,
        "cores": 4,
        "inputs": tuple(InputTiming(stage, found) for stage, found in inputs),
        "transfer": inputs[-1][1] if inputs else NOTHING,
        "nothing": NOTHING,
        "preprocess": timing(0.002),
        "step": timing(0.020),
        "small_preprocess": timing(0.001),
        "small_step": timing(0.012),
        "small": 0.5,
        "all_reduce": NOTHING,
        "each_replica": (),
        "resident": timing(0.020),
        "full": timing(0.020),
    }
    return Measurements(**{**values, **changes})


def test_a_step_is_divided_into_layers_model_and_what_does_not_grow_with_the_batch():
    model = fit(measured())
    found = {stage: cost.seconds for stage, cost in model.costs.items() if cost.seconds}
    assert found == pytest.approx(
        {"device_preprocess": 0.002, "host_overhead": 0.004, "model": 0.014}
    )
    assert model.binding == "model"
    assert model.input_tax == 0
    assert model.shares["model"] == pytest.approx(0.7)


def test_twice_the_batch_tells_the_same():
    """a + 2 (20 - a) = 36 for a = 4; the layers take 4 ms of it."""
    found = measured(small=2.0, small_step=timing(0.036), small_preprocess=timing(0.004))
    assert fit(found).costs["host_overhead"].seconds == pytest.approx(0.004)


def test_what_a_stage_costs_is_what_it_adds_to_the_one_before():
    """40 ms a step wait for reading, which fills no core; decoding adds 10 ms. Training waits for
    both: 50 ms instead of 20, a tax of 0.6. Without reading a step would take the device's 20 ms.
    """
    inputs = [("storage", timing(0.040)), ("parse", timing(0.040)), ("decode", timing(0.050))]
    model = fit(measured(inputs, full=timing(0.050)))
    assert model.costs["storage"].seconds == pytest.approx(0.040)
    assert model.costs["parse"].seconds == 0
    assert model.costs["decode"].seconds == pytest.approx(0.010)
    assert model.binding == "storage"
    assert model.input_tax == pytest.approx(0.6)
    assert model.without("storage") == pytest.approx(0.020)
    assert model.without("decode") == pytest.approx(0.040)
    # 30 of 50 ms are input's, four fifths of them reading's.
    assert model.shares["storage"] == pytest.approx(0.48)
    assert model.shares["model"] == pytest.approx(0.4 * 0.7)


def test_input_hidden_behind_the_step_is_not_what_binds():
    inputs = [("storage", timing(0.010)), ("decode", timing(0.018))]
    model = fit(measured(inputs, full=timing(0.0205)))
    assert model.binding == "model"
    # But for what the two cost each other, 0.5 ms in the 18 in which both are at work.
    assert model.without("decode") == pytest.approx(0.020 + 0.0005 * 10 / 18)


def test_cores_shared_by_input_and_step_are_the_limit_of_both():
    """Decoding takes 60 ms and the step 60 ms of 2 cores: 60 ms a step, though neither takes more
    than 30 alone. Without decoding 30 remain.
    """
    found = measured(
        [("decode", timing(0.030, cpu=0.060))],
        cores=2,
        step=timing(0.030, cpu=0.060),
        small_step=timing(0.015),
        resident=timing(0.030, cpu=0.060),
        full=timing(0.060),
    )
    model = fit(found)
    assert model.seconds() == pytest.approx(0.060)
    assert model.without("decode") == pytest.approx(0.030)
    assert model.binding == "decode"


def test_what_the_model_does_not_explain_goes_with_the_shorter_of_the_two_sides():
    """40 ms of input and 20 of a step take 50 and not 40: the 20 in which both are at work cost 10
    more. With 10 ms of input it is 10, and 5 more; without any, what a resident batch takes.
    """
    inputs = [("storage", timing(0.030)), ("decode", timing(0.040))]
    model = fit(measured(inputs, full=timing(0.050)))
    assert model.full == pytest.approx(0.050)
    assert model.without("storage") == pytest.approx(0.020 + 0.005)
    assert model.seconds({"storage": Cost(), "decode": Cost()}) == pytest.approx(0.020)


def test_an_input_cannot_cost_the_step_more_than_it_takes_itself():
    """0.1 ms of input and 20 of a step take 30: 0.1 of it is the input's, the rest is the step's,
    half of which goes with half the step.
    """
    model = fit(measured([("storage", timing(0.0001))], full=timing(0.030)))
    assert model.without("storage") == pytest.approx(0.030 - 0.0001)
    half = {stage: cost * 0.5 for stage, cost in model.costs.items() if stage != "storage"}
    assert model.seconds(half) == pytest.approx(0.010 + 0.0001 + 0.0099 / 2)


def test_a_step_measured_shorter_than_its_parts_makes_all_of_them_shorter():
    """A slow minute met the parts: 20 ms of a step alone, 16 in training. Without the layers, of 2
    ms, it is nine tenths of that.
    """
    model = fit(measured([("storage", timing(0.010))], full=timing(0.016)))
    assert model.full == pytest.approx(0.016)
    assert model.without("device_preprocess") == pytest.approx(0.016 * 0.9)


def test_chains_up_to_and_after_a_table_run_beside_each_other():
    """Decoding for the table 30 ms a step, gathering 5 ms; transfer adds 1 ms to the longer."""
    inputs = [
        ("storage", timing(0.010)),
        ("decode", timing(0.030)),
        ("table", timing(0.032)),
        ("host_map", timing(0.005)),
    ]
    model = fit(measured(inputs, transfer=timing(0.033), full=timing(0.033)))
    assert model.costs["decode"].seconds == pytest.approx(0.020)
    assert model.costs["table"].seconds == pytest.approx(0.002)
    assert model.costs["transfer"].seconds == pytest.approx(0.001)
    assert model.binding == "decode"


def test_a_table_that_is_filled_once_is_no_part_of_a_step():
    found = measured(full=timing(0.020), transfer=timing(0.003))
    inputs = (
        InputTiming("decode", timing(9.0), once=True),
        InputTiming("table", timing(10.0), once=True),
        InputTiming("host_map", timing(0.003)),
    )
    model = fit(dataclasses.replace(found, inputs=inputs))
    assert model.costs["decode"].seconds == 0
    assert model.costs["host_map"].seconds == pytest.approx(0.003)
    assert model.binding == "model"


def test_a_table_that_outlasts_what_was_measured_counts_with_its_average():
    """Filling a pass's table takes 60 ms a step, but the 50 steps that were measured, of 20 ms,
    used the first one.
    """
    inputs = [("decode", timing(0.058)), ("table", timing(0.060)), ("host_map", timing(0.005))]
    model = fit(measured(inputs, transfer=timing(0.060), full=timing(0.020)))
    assert model.full == pytest.approx(0.060)
    assert model.binding == "decode"
    assert model.gains["decode"] == pytest.approx(0.060 / 0.020 - 1)
    assert model.input_tax == pytest.approx(1 - 0.020 / 0.060)


def test_python_in_the_loop_is_overhead():
    model = fit(measured(resident=timing(0.050), full=timing(0.050)))
    assert model.costs["host_overhead"].seconds == pytest.approx(0.034)
    assert model.binding == "host_overhead"


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        ((), 0.0),
        (((0.010,),), 0.0),
        (((1.0, 1.3),), 0.3),
        (((1.0, 1.29),), 0.0),
        (((0.010, 0.010), (0.010, 0.025)), 0.015),
    ],
)
def test_replicas_wait_for_one_that_is_a_third_slower(each, expected):
    assert imbalance(each) == pytest.approx(expected)


def test_waiting_for_a_slow_replica_and_summing_are_the_others_wait():
    """10 ms of imbalance and 2 ms of summing; what does not grow with the batch, 4, is theirs."""
    found = measured(replicas=2, each_replica=((0.008, 0.018),), all_reduce=timing(0.002))
    model = fit(found)
    assert model.costs["collective"].seconds == pytest.approx(0.012)
    assert model.costs["host_overhead"].seconds == 0
    assert model.binding == "collective"


times = st.floats(1e-5, 1.0)


@given(
    cuts=st.lists(times, min_size=4, max_size=4),
    step=times,
    small=times,
    layers=times,
    resident=times,
    full=times,
    cpu=st.floats(0, 4),
)
def test_shares_add_up_and_no_change_is_a_loss(cuts, step, small, layers, resident, full, cpu):
    """Whatever noise made of the figures."""
    stages = ("storage", "parse", "decode", "host_map")
    found = measured(
        [(stage, timing(at, cpu * at)) for stage, at in zip(stages, cuts, strict=True)],
        step=timing(step),
        small_step=timing(small),
        preprocess=timing(layers),
        resident=timing(resident, cpu * resident),
        full=timing(full),
    )
    model = fit(found)
    assert sum(model.shares.values()) == pytest.approx(1)
    assert min(model.shares.values()) >= -1e-9
    assert min(model.gains.values()) >= -1e-9
    assert 0 <= model.input_tax < 1
    assert model.binding in STAGES
