"""How the references balance the points of a scan, as numbers of a pool's strata: for `sample=` of a Stream.

For N points, PIFu and ICON test 4 N near the surface and N / 4 uniform in the cube, shuffle them, and keep N / 2 that
are inside and N / 2 that are outside (`get_sampling_geo`, lib/dataset/PIFuDataset.py in ICON;
`select_sampling_method`, lib/data/TrainDataset.py in PIFu). Each half is thus mixed as the candidates on its side are.
A person fills some 1.2 % of the cube, and some 40 % of the near candidates are inside (of those 5 cm about a cylinder,
43 % where its radius is 15 cm, 24 % where it is 4.5 cm):

- inside: 0.012 N / 4 = 0.003 N uniform beside 1.6 N near, 0.2 %, here 1 in 500;
- outside: 0.988 N / 4 = 0.247 N uniform beside 2.4 N near, 9 % (11 % were half of the near ones inside), here 1 in 10.

The pools here know beforehand which points are inside, so that nothing is thrown away.

Near points are those of a normal distribution of 5 cm, PIFu's. ICON moves vertices of the scan along their normals by
as much as 9 to 16 cm: its 5 are meant of a scan that is 180 tall, and applied before the scan is scaled.
"""

from .loading.arguments import whole_number

ONE_UNIFORM_OF = {"inside": 500, "outside": 10}


def icon_balance(count: int = 8000) -> dict[str | int, int]:
    """ICON's points, by stratum: `Stream(..., sample={"subject.points": icon_balance()})`.

    Half inside, half outside; of these, 1 in 500 and 1 in 10 are uniform (rounded), the rest near the surface.

    Args:
        count: points of a record in all; of an odd number, the one more is outside.

    Returns:
        Names of strata to numbers that sum to `count`; strata of which there would be none are left out.

    Raises:
        UsageError: `count` is no number of points.
    """
    count = whole_number("count", count, 1)
    drawn: dict[str | int, int] = {}
    for side, half in (("inside", count // 2), ("outside", count - count // 2)):
        uniform = round(half / ONE_UNIFORM_OF[side])
        drawn |= {f"near_5cm_{side}": half - uniform, f"uniform_{side}": uniform}
    return {stratum: number for stratum, number in drawn.items() if number}


def pifu_balance(count: int = 5000) -> dict[str | int, int]:
    """PIFu's points, by stratum: ICON's rule, which is PIFu's, and PIFu's number.

    Args, returns and raises: as `icon_balance`.
    """
    return icon_balance(count)
