"""What gathering from a table costs is measured on one like it."""

from trainer.bottleneck.phases.gather_cost import gather_cost


def test_more_and_larger_pictures_cost_more():
    """Sixteen times the bytes, at the least twice the time on a machine that is busy otherwise."""
    small, large = gather_cost(64, (64, 64, 3), 8), gather_cost(64, (256, 256, 3), 64)
    assert 0 < 2 * small.seconds < large.seconds
    assert large.cpu > 0


def test_a_table_larger_than_the_part_that_is_measured_is_none_of_memory():
    """A million pictures of 3 MB: only some 80 are made."""
    assert gather_cost(1_000_000, (1024, 1024, 3), 4).seconds < 1
