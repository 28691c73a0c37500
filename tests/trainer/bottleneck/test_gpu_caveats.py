"""What is wrong with a GPU itself, from made-up rows: no test here has seen a GPU."""

import pytest

from trainer.bottleneck import sentences
from trainer.bottleneck.bottleneck import Bottleneck, Kind, Source
from trainer.bottleneck.run_caveats import with_caveats

VERDICT = Bottleneck(Kind.COMPUTE, Source.LOOP)
FAST = {"images_per_second": 100.0, "images_per_second_per_replica": 100.0}


def rows(**gpu):
    """Ten epochs with the figures of GPU 1 beside a GPU 0 that is well."""
    well = {"clock_fraction": 0.99, "link": [16, 4], "link_most": [16, 4], "ecc_errors": 0,
            "other_processes": 0, "throttled_fraction": 0.0}  # fmt: skip
    named = {f"gpu0_{k}": v for k, v in well.items()}
    named |= {f"gpu1_{k}": v for k, v in {**well, **gpu}.items()}
    return [{"epoch": n, "step": 100 * n, **FAST, **named} for n in range(1, 11)]


@pytest.mark.parametrize(
    ("figures", "sentence", "remedy"),
    [
        (
            {"throttled_fraction": 0.9, "throttled": ["heat"], "clock_fraction": 0.55},
            "GPU 1 was held back to 55% of its clock by heat.",
            "gpu_clock",
        ),
        (
            {"throttled_fraction": 0.9, "throttled": ["power brake"], "clock_fraction": None},
            "GPU 1 was held back by power brake.",
            "gpu_clock",
        ),
        (
            {"link": [4, 3]},
            "GPU 1 is linked by 4 of 16 PCI Express lanes, of generation 3 of 4.",
            "gpu_link",
        ),
        (
            {"ecc_errors": 3},
            "GPU 1 has had 3 memory errors that could not be corrected.",
            "gpu_errors",
        ),
        ({"other_processes": 1}, "Another process computed on GPU 1 meanwhile.", "gpu_alone"),
    ],
)
def test_a_gpu_that_is_not_well_is_named_with_what_to_do(figures, sentence, remedy):
    found = with_caveats(VERDICT, rows(**figures))
    assert sentences.caveats(found) == [sentence]
    assert [each.remedy for each in found.advice] == [remedy]


@pytest.mark.parametrize(
    "figures",
    [
        {},
        # A GPU at its power limit works as hard as it may.
        {"throttled_fraction": 1.0, "throttled": ["power cap"], "clock_fraction": 0.93},
        {"throttled_fraction": 1.0, "throttled": ["power cap"], "clock_fraction": None},
        {"throttled_fraction": 0.05, "throttled": ["heat"], "clock_fraction": 0.6},
        {"link": None, "ecc_errors": None, "other_processes": None},
    ],
)
def test_of_one_that_is_well_nothing_is_said(figures):
    assert with_caveats(VERDICT, rows(**figures)).caveats == ()
