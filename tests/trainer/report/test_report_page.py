"""report.html: what it says, that it is closed to the outside, that names stay text."""

import base64
import re
from html.parser import HTMLParser

import pytest

from tests.trainer.explanations import by_loop
from trainer.config import load_config, to_dict
from trainer.report.figures import duration, figure, interval, percent, verdict, what_to_do
from trainer.report.page import Section, render_page
from trainer.tasks.triplet_card_figure import card_section

EVIL = '"><script>alert(1)</script><img src=https://example.org/x>'
LAST = {
    "epoch": 3,
    "loss": 0.5,
    "triplet_accuracy": 0.7,
    "triplet_accuracy_interval": [0.68, 0.72],
    "val_loss": 0.6,
    "val_triplet_accuracy": 0.6123,
    "val_triplet_accuracy_interval": [0.58, 0.64],
}
REPORT = {
    "steps": 1200,
    "epochs": 3,
    "seconds": 190.2,
    "images_per_second": 1448.2,
    "metrics": {"last": LAST, "best": {**LAST, "epoch": 2, "val_triplet_accuracy": 0.6345}},
    "chance": 1 / 3,
    "weights_digest": "abcdef0123",
    "bottleneck": {
        "kind": "input_one_worker",
        "stage": "decode",
        "verdict": "Input-bound.",
        "source": "phases",
        "input_tax": 0.38,
        "shares": {"decode": 0.31, "model": 0.625, "storage": None},
        "advice": ["Keep the decoded table."],
    },
}
HISTORY = [{**LAST, "epoch": at, "step_ms": ms} for at, ms in ((1, 900.0), (2, 60.0), (3, 62.0))]


class Tags(HTMLParser):
    """Collects tags with their attributes, and the text between them."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data.replace("\N{NO-BREAK SPACE}", " "))

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def page(report=REPORT, history=HISTORY, images=None, config=None, name="run"):
    return render_page(report, history, images or {}, config or {}, name)


def test_the_policy_lets_nothing_in():
    (policy,) = [
        attrs["content"]
        for tag, attrs in Tags(page()).tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_page_asks_the_network_for_nothing():
    text = page(images={"history": b"x", "mistakes": b"y"}, config=to_dict(load_config("demo")))
    tags = Tags(text).tags
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe", "object", "base")]
    sources = [attrs["src"] for _, attrs in tags if "src" in attrs]
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "url(" not in text
    assert "@import" not in text
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]


def test_whatever_comes_from_outside_stays_text():
    report = {
        **REPORT,
        "weights_digest": EVIL,
        "metrics": {"last": {**LAST, f"val_{EVIL}_loss": 1.0, f"val_{EVIL}_triplet_accuracy": 0.5}},
        "bottleneck": {
            "stage": EVIL,
            "verdict": EVIL,
            "source": EVIL,
            "shares": {EVIL: 0.5},
            "advice": [EVIL],
        },
    }
    text = page(report, HISTORY, {EVIL: b"png"}, {EVIL: {EVIL: EVIL}}, EVIL)
    assert {tag for tag, _ in Tags(text).tags} == {tag for tag, _ in Tags(page()).tags} | {
        "img",
        "details",
        "summary",
        "code",
    }
    (picture,) = [attrs for tag, attrs in Tags(text).tags if tag == "img"]
    assert picture["alt"] == EVIL
    assert set(picture) == {"alt", "src"}
    # title, h1, verdict above and below, split, picture's title and alt, stage, advice, key and
    # value of the configuration (the key holds it twice), digest
    assert text.count("&lt;script&gt;") == 13


def test_the_page_opens_with_the_verdict():
    body = page().split("<main>")[1]
    first = re.search(r'<p class="verdict">(.*?)</p>', body)
    assert body.index(first.group(0)) < body.index("<section>")
    said = first.group(1).replace("\N{NO-BREAK SPACE}", " ")
    assert said == (
        "Triplet accuracy 61.2 % on the validation split after 3 epochs (3 min 10 s); "
        "95 % interval 58.0 to 64.0 %, all of it above chance (33.3 %)."
    )


def test_the_first_validation_split_is_called_by_its_name():
    """report.json names it where it says whose mistakes are shown."""
    text = Tags(page({**REPORT, "mistakes_split": "test"})).text
    assert "Triplet accuracy 61.2 % on the test split" in text
    assert "on the validation split" not in text
    rows = re.findall(r'<th scope="row">(\w+)</th>', page({**REPORT, "mistakes_split": "test"}))
    assert rows[:2] == ["test", "training"]


def test_final_figures_have_intervals_and_chance():
    text = Tags(page()).text
    assert "last state, epoch 3" in text
    assert "best state, epoch 2" in text
    for words in ("61.2 %", "63.4 %", "58.0 to 64.0 %", "68.0 to 72.0 %", "33.3 %"):
        assert words in text


def test_speed_leaves_the_first_epoch_out():
    """Steps of 900, 60 and 62 ms: the first epoch carries the start-up, the median is 61."""
    text = Tags(page()).text
    assert "61 ms" in text
    assert "1,448" in text
    assert "38.0 %" in text


def test_the_verdict_on_speed_has_sentence_picture_figures_advice_and_source():
    text = page(images={"step": b"png"})
    section = next(part for part in text.split("<section>") if "Where the time goes" in part)
    tags = Tags(section)
    places = [
        tags.text.index(words)
        for words in (
            "Input-bound.",
            "input one worker",
            "decode",
            "Keep the decoded table.",
            "timing each phase",
        )
    ]
    assert places == sorted(places)
    (picture,) = [attrs for tag, attrs in tags.tags if tag == "img"]
    assert picture["alt"].replace("\N{NO-BREAK SPACE}", " ") == (
        "A step: decode 31.0 %, model 62.5 %"
    )


def test_a_stage_with_an_odd_name_is_explained_and_what_is_unknown_is_left_out():
    shares = {"device_preprocess": 0.4, "model": 0.5}
    report = {**REPORT, "bottleneck": {**REPORT["bottleneck"], "shares": shares}}
    text = Tags(page(report)).text
    assert "device_preprocess: the on-device layers." in text
    assert "time lost to input38.0 %" in text
    del report["bottleneck"]["input_tax"]
    assert "time lost to input" not in Tags(page(report)).text


def test_a_table_is_folded_away_only_below_a_picture():
    for picture, folded in ((None, 1), (b"png", 2)):  # the configuration's is folded always
        section = Section("Classes", picture=picture, header=("class", "recall"), rows=[("a", "1")])
        text = render_page(REPORT, HISTORY, {}, {"a": 1}, "run", [section])
        assert [tag for tag, _ in Tags(text).tags].count("details") == folded


def test_percentiles_and_the_speed_of_a_replica_are_told():
    speed = {"images_per_second_per_replica": 724.1, "step_ms_p50": 41.0, "step_ms_p99": 97.0}
    text = Tags(page(history=[*HISTORY[:1], {**HISTORY[1], **speed}])).text
    for words in ("724.1", "41 ms", "97 ms"):
        assert words in text


def test_pictures_are_embedded_whole():
    content = bytes(range(256))
    assert base64.b64encode(content).decode() in page(images={"augmented": content})


def test_the_configuration_is_folded_and_complete():
    text = page(config={"seed": 3, "optimizer": {"name": "adam", "args": {}}})
    tags = Tags(text)
    assert [attrs for tag, attrs in tags.tags if tag == "details"] == [{}]  # no `open`
    for words in ("optimizer.name", "adam", "optimizer.args", "seed"):
        assert words in tags.text


def test_a_run_without_anything_still_has_a_page():
    text = Tags(render_page({}, [], {}, {}, "empty")).text
    assert "No accuracy was measured." in text
    assert "nan" not in text
    assert "None" not in text


def test_class_accuracy_has_no_chance_of_a_third():
    last = {key.replace("triplet_", ""): value for key, value in LAST.items()}
    text = Tags(page({**REPORT, "metrics": {"last": last, "best": None}, "chance": None}, [])).text
    assert "Accuracy 61.2 % on the validation split" in text
    assert "33.3" not in text


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ([0.334, 0.5], "all of it above chance"),
        ([0.3, 0.4], "nothing learned can be shown"),
        ([0.2, 0.333], "all of it below chance"),
        (None, "interval was not measured"),
    ],
)
def test_the_verdict_weighs_the_whole_interval_against_chance(bounds, words):
    last = {"val_triplet_accuracy": 0.33, "val_triplet_accuracy_interval": bounds}
    assert words in verdict({"metrics": {"last": last}, "chance": 1 / 3})


def test_a_classifier_worse_than_the_largest_class_is_to_train_longer():
    last = {"val_accuracy": 0.27, "val_accuracy_interval": [0.16, 0.42]}
    baseline = {"name": "always naming 'cat'", "accuracy": 0.455}
    said = verdict({"metrics": {"last": last}, "baseline": baseline})
    assert said.endswith("%): train longer, or look at the classes.")


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ([0.88, 0.93], "which includes always naming 'cat' (90.0 %): nothing learned"),
        ([0.93, 0.97], "all of it above always naming 'cat' (90.0 %)"),
        ([0.20, 0.40], "all of it below always naming 'cat' (90.0 %)"),
    ],
)
def test_a_classifier_that_only_names_the_largest_class_says_so_in_its_first_sentence(
    bounds, words
):
    """90 % of the split are cats, so 90 % is no achievement, whatever chance is."""
    last = {"val_accuracy": sum(bounds) / 2, "val_accuracy_interval": bounds}
    baseline = {"name": "always naming 'cat'", "accuracy": 0.9}
    said = verdict({"metrics": {"last": last}, "chance": 0.5, "baseline": baseline})
    assert words in said.replace("\N{NO-BREAK SPACE}", " ")


def test_a_run_that_stopped_within_its_first_epoch_counts_its_steps():
    row = {"val_accuracy": 0.5, "val_accuracy_interval": [0.4, 0.6]}
    report = {"metrics": {"last": row}, "epochs": 0, "steps": 1200, "seconds": 61.0}
    assert "after 1,200 steps (1 min 1 s)" in verdict(report).replace("\N{NO-BREAK SPACE}", " ")


def test_the_verdict_falls_back_to_training():
    said = verdict({"metrics": {"last": {"accuracy": 0.5, "accuracy_interval": [0.4, 0.6]}}})
    assert "on the training split" in said


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (percent(0.98765), "98.8 %"),
        (percent(None), "–"),
        (interval([0.5, 0.75]), "50.0 to 75.0 %"),
        (interval([None, 0.75]), ""),
        (figure(1234567), "1,234,567"),
        (figure(0.51234567), "0.5123"),
        (figure(float("nan")), "–"),
        (duration(3.21), "3.2 s"),
        (duration(59.7), "1 min 0 s"),
        (duration(7500), "2 h 5 min"),
        (duration(None), "–"),
    ],
)
def test_figures_read_well(got, words):
    assert got.replace("\N{NO-BREAK SPACE}", " ") == words


CARD = {
    "split": "te<b>st",
    "overall": {"name": "all", "counted": 1214, "right": 503, "accuracy": 0.4143,
                "interval": [0.3869, 0.4423]},
    "by_type": [{"name": EVIL, "counted": 145, "right": 53, "accuracy": 0.3655,
                 "interval": [0.2915, 0.4464]}],
    "by_agreement": [],
    "without_majority": 786,
    "references": [{"name": "chance", "accuracy": 1 / 3, "of": "any triplets"}],
}  # fmt: skip


def test_the_report_card_has_its_words_its_picture_and_a_table_of_escaped_names():
    page = render_page(REPORT, HISTORY, {}, {}, "run", [card_section(CARD, b"png")])
    tags = Tags(page)
    assert "<script" not in page and "te&lt;b&gt;st" in page
    assert "41.4 % (38.7 to 44.2 %) of the 1,214 triplets out of 2,000" in tags.text
    assert "chance 33.3 % on any triplets" in tags.text
    assert "36.5 %" in tags.text and "145" in tags.text
    assert page.count(base64.b64encode(b"png").decode()) == 1
    assert "Report card" not in Tags(render_page(REPORT, HISTORY, {}, {}, "run")).text


@pytest.mark.parametrize("wait", [None, 0.0, 0.1, 0.9])
def test_a_run_ends_with_the_next_thing_to_do(wait):
    """Whatever the loop has found; of several advices the first."""
    found = by_loop([{"input_wait_fraction": wait, "host_fraction": 0.0}])
    said, advice = what_to_do(found)
    assert said == found["verdict"]
    assert "python -m trainer diagnose" in advice
    assert what_to_do({**found, "advice": ["one", "two"]}) == [said, "-> one"]
    assert what_to_do({**found, "advice": []}) == [said]
