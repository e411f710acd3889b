"""docs/transforms.md says what is there."""

from pathlib import Path

from tessera.datasets.transforms import transform_names
from tessera.datasets.transforms._page import with_table

PAGE = Path(__file__).resolve().parents[3] / "docs" / "transforms.md"


def test_the_table_is_up_to_date():
    """`python -c "from tessera.datasets.transforms._page import write; write('docs/transforms.md')"`"""
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_table(text) and all(f"\n| `{name}` |" in text for name in transform_names())


def test_a_stale_table_is_replaced_and_the_rest_kept():
    text = PAGE.read_text(encoding="utf-8")
    stale = text.replace("| `to_float` |", "| `to_half` |")
    assert stale != text and with_table(stale) == text


def test_the_page_s_own_transform_runs():
    import numpy as np

    code = PAGE.read_text(encoding="utf-8").partition("```python\nclass Darken")[2].partition("\nstream")[0]
    names: dict = {}
    exec("class Darken" + code, names)
    picture = np.full((2, 2, 3), 200, np.uint8)
    found = names["Darken"]()({"image": picture}, np.random.default_rng(0))["image"]
    assert found.dtype == np.uint8 and 100 <= found.max() < 200 and (picture == 200).all()
