"""The code on the page about scene labels runs as it stands, and means what the page says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tessera.datasets import Dataset

from .conftest import FULL

PAGE = Path(__file__).resolve().parents[3] / "docs" / "hypersim_labels.md"


@pytest.mark.parametrize("dataset", [FULL], indirect=True)
def test_the_page_s_code_runs(dataset: Dataset) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    code = "\n".join(blocks).replace("out/hypersim", str(dataset.root))
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["mask"].shape == (4, *names["record"]["distance"].shape)
    assert (names["valid"] & names["inside"])[names["near_and_inside"]].all()
    np.testing.assert_array_equal(names["voxels"].lookup(names["world"]), names["record"]["voxel_state"])
    assert all(names["occupied"][d].shape == names["nodes"].alpha[d].shape for d in names["tree"].keys)
