"""Which layer reads what."""

import pytest
from tessera.training.models.layer_plan import plan_layers

ICON = [13, 512, 256, 128, 1]


def rows(*arguments):
    return [(plan.inputs, plan.outputs, plan.with_input, plan.mirror) for plan in plan_layers(*arguments)]


def test_icon_reads_its_input_at_layers_2_and_3_and_its_4_names_nothing():
    expected = [(13, 512, False, None), (512, 256, False, None), (256 + 13, 128, True, None), (128 + 13, 1, True, None)]
    assert rows(ICON, (2, 3, 4), "plain") == rows(ICON, (2, 3), "plain") == expected


def test_five_layers_read_it_at_all_of_2_3_4():
    assert [row[2] for row in rows([257, 1024, 512, 256, 128, 1], (2, 3, 4), "plain")] == [0, 0, 1, 1, 1]


def test_u_is_narrow_in_the_middle_and_reads_mirrors():
    expected = [
        (13, 512, False, None),
        (512, 256, False, None),
        (256 + 13, 128, True, None),
        (128, 256, False, None),
        (256 + 256, 512, False, 1),
        (512 + 512, 1, False, 0),
    ]
    assert rows(ICON, (2,), "u") == expected


def test_n_is_wide_in_the_middle():
    assert [row[1] for row in rows(ICON, (), "n")] == [128, 256, 512, 256, 128, 1]
    assert all(row[2:] == (False, None) for row in rows(ICON, (), "n"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((ICON, (0, 2), "plain"), "skips"),
        ((ICON, (-1,), "plain"), "skips"),
        ((ICON, (2, 2), "plain"), "skips"),
        ((ICON, (4, 5), "plain"), "skips"),
        (([13], (), "plain"), "sizes"),
        (([], (), "plain"), "sizes"),
        (([13, 0, 1], (), "plain"), "sizes"),
        (([13, 64, 1], (), "u"), "sizes"),
        (([13, 64, 128, 1], (), "n"), "sizes"),
        ((ICON, (), "o"), "shape"),
    ],
)
def test_bad_settings_are_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        plan_layers(*arguments)
