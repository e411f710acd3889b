"""Rows of body parameters, taken apart and put together again."""

import inspect

import numpy as np
import pytest
from tessera.datasets.body_params import BODY_PARAMS, SIZES, join_params, split_params
from tessera.datasets.errors import FormatError

# of the models' papers: 21 joints of SMPL-X's body, 15 of each hand, jaw and eyes; 23 joints of SMPL below its root
SMPLX = {"betas": 10, "expression": 10, "global_orient": 3, "body_pose": 21 * 3, "left_hand_pose": 15 * 3,
         "right_hand_pose": 15 * 3, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "transl": 3}  # fmt: skip
SMPL = {"betas": 10, "global_orient": 3, "body_pose": 23 * 3, "transl": 3}


@pytest.mark.parametrize(("kind", "sizes", "total"), [("smplx", SMPLX, 188), ("smpl", SMPL, 85)])
def test_each_model_has_the_parameters_of_its_paper(kind: str, sizes: dict[str, int], total: int) -> None:
    assert BODY_PARAMS[kind] == sizes and SIZES[kind] == total == sum(sizes.values())


@pytest.mark.parametrize("kind", ["smplx", "smpl"])
@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3), (0,)])
def test_joined_and_split_gives_the_same_values(kind: str, leading: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=(*leading, size)) for name, size in BODY_PARAMS[kind].items()}
    rows = join_params(kind, values)
    assert rows.shape == (*leading, SIZES[kind]) and rows.dtype == np.float64
    again = split_params(rows)
    assert list(again) == list(values)
    for name, value in values.items():
        np.testing.assert_array_equal(again[name], value)


def test_a_row_is_in_the_order_of_the_table_and_not_of_the_mapping() -> None:
    values = {name: np.full(size, place) for place, (name, size) in enumerate(SMPLX.items())}
    row = join_params("smplx", dict(reversed(values.items())))
    np.testing.assert_array_equal(row, np.repeat(np.arange(len(SMPLX)), list(SMPLX.values())))


def test_parameters_that_are_not_in_a_row_are_left_out() -> None:
    values = {name: np.zeros(size) for name, size in SMPL.items()}
    assert join_params("smpl", values | {"scale": np.ones(1), "expression": np.ones(10)}).shape == (85,)


@pytest.mark.parametrize("given", [np.float32, np.float16, list])
def test_any_numbers_become_float64(given: type) -> None:
    row = np.arange(85).tolist() if given is list else np.arange(85).astype(given)
    found = split_params(row)
    assert all(value.dtype == np.float64 for value in found.values())
    np.testing.assert_array_equal(found["transl"], [82, 83, 84])


@pytest.mark.parametrize("shape", [(), (84,), (189,), (0,), (188, 1), (85, 2), (3, 187)])
def test_rows_of_another_length_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="body parameters of shape"):
        split_params(np.zeros(shape))


@pytest.mark.parametrize(("kind", "name"), [("smplx", "SMPLX"), ("smpl", "SMPL")])
def test_the_smplx_package_takes_each_name(kind: str, name: str) -> None:
    import smplx

    taken = inspect.signature(getattr(smplx, name).forward).parameters
    assert set(BODY_PARAMS[kind]) <= set(taken)
