"""Whatever a verdict holds can be read, by people and by programs."""

import dataclasses
import inspect
import json
import string
import typing

from hypothesis import given
from hypothesis import strategies as st

from preprocess.shell.json_text import json_text
from trainer.bottleneck import evidence, sentences
from trainer.bottleneck.bottleneck import Advice, Bottleneck, Kind, Source, ranked, upper_gain
from trainer.bottleneck.evidence import Evidence
from trainer.bottleneck.remedies import REMEDIES
from trainer.config.keys import KEYS
from trainer.monitoring.stages import INPUT_STAGES, STAGES

FACTS = typing.get_args(Evidence)
facts = st.one_of([st.from_type(kind) for kind in FACTS])


def fields(template):
    """What a remedy's text is filled in with."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@st.composite
def advices(draw):
    name = draw(st.sampled_from(sorted(REMEDIES)))
    remedy = REMEDIES[name]
    needed = fields(" ".join([remedy.text, *remedy.change.values()]))
    values = {value: draw(st.integers(0, 10**6)) for value in needed}
    cause = draw(st.none() | facts)
    speed, gain = draw(st.none() | st.floats(0)), draw(st.none() | st.floats(0))
    return Advice(name, values, cause, speed, gain)


bottlenecks = st.builds(
    Bottleneck,
    kind=st.sampled_from(Kind),
    source=st.sampled_from(Source),
    stage=st.none() | st.sampled_from(STAGES),
    shares=st.none() | st.dictionaries(st.sampled_from(STAGES), st.floats(0, 1)),
    input_tax=st.none() | st.floats(0, 1),
    evidence=st.lists(facts, max_size=4).map(tuple),
    caveats=st.lists(facts, max_size=3).map(tuple),
    advice=st.lists(advices(), max_size=4).map(tuple),
)


@given(bottlenecks)
def test_every_bottleneck_has_its_sentences_and_its_json(bottleneck):
    verdict = sentences.verdict(bottleneck)
    assert verdict.endswith(".") and verdict[0] != "."
    if bottleneck.kind is not Kind.UNKNOWN:
        headline = sentences.HEADLINES[bottleneck.kind]
        slight = bottleneck.is_slight
        assert verdict.startswith(sentences.SLIGHTLY if slight else headline)
    plain = sentences.as_json(bottleneck)
    assert plain.keys() == {
        "kind", "stage", "verdict", "source", "input_tax", "shares", "advice",
    }  # fmt: skip
    assert json.loads(json_text(plain)) == plain
    assert Kind(plain["kind"]) is bottleneck.kind
    assert Source(plain["source"]) is bottleneck.source
    assert plain["verdict"].startswith(verdict)
    assert all(caveat in plain["verdict"] for caveat in sentences.caveats(bottleneck))
    assert len(plain["advice"]) == len(bottleneck.advice)


def test_every_fact_is_one_of_the_evidence():
    classes = {
        value
        for value in vars(evidence).values()
        if inspect.isclass(value) and dataclasses.is_dataclass(value)
    }
    assert classes == set(FACTS)


def test_every_stage_can_be_named():
    assert set(sentences.STAGES) == set(STAGES)


def test_every_kind_has_a_headline():
    assert set(sentences.HEADLINES) == set(Kind)
    assert [kind for kind, headline in sentences.HEADLINES.items() if not headline] == [
        Kind.UNKNOWN
    ]


def test_remedies_change_keys_that_there_are_and_name_what_they_are_filled_in_with():
    for name, remedy in REMEDIES.items():
        assert set(remedy.change) <= set(KEYS), name
        assert fields(" ".join(remedy.change.values())) <= fields(remedy.text), name


def test_every_stage_of_the_input_that_a_trace_names_has_a_remedy():
    assert set(INPUT_STAGES) - {"transfer"} <= set(REMEDIES)


def test_advice_is_ranked_by_gain_and_keeps_its_order_without_one():
    gains = [None, 1.2, 3.0, None, 1.2]
    advice = [Advice("diagnose", {"at": at}, gain=gain) for at, gain in enumerate(gains)]
    assert [one.values["at"] for one in ranked(advice)] == [2, 1, 4, 0, 3]


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_of_a_step_may_gain_more(one, other):
    """Without half of it a step is at most twice as fast."""
    assert upper_gain(0.5) == 2
    assert (one <= other) == (upper_gain(one) <= upper_gain(other)) or abs(one - other) < 1e-9


def test_a_change_is_given_as_flags_with_the_speed_it_brings():
    advice = Advice(
        "more_parallel_reads", {"reads": 8, "now": 2}, images_per_second=5000.0, gain=2.5
    )
    assert advice.change == {"data.parallel_reads": "8"}
    assert sentences.advice_line(advice) == (
        "read 8 at a time instead of 2 (--config.data.parallel_reads=8): 5,000 images/s, 2.5 x"
    )
