"""How the references balance the points of a scan, as numbers of a pool's strata: for `sample=` of a Stream.

PIFu and ICON test 16 points near the surface and one uniform point beside each other (4 N and N / 4 of them), and keep
of all these up to half inside, the rest outside (`get_sampling_geo`, lib/dataset/PIFuDataset.py in ICON;
`select_sampling_method`, lib/data/TrainDataset.py in PIFu). The pools here know beforehand which are inside, so that
nothing is thrown away: each half gets near and uniform points 16 to 1. (In theirs, uniform points are rarer inside and
more frequent outside than that, by the share of the cube that the person fills.)

Near points are those of a normal distribution of 5 cm, PIFu's. ICON moves vertices of the scan along their normals by
as much as 9 to 16 cm: its 5 are meant of a scan that is 180 tall, and applied before the scan is scaled.
"""

from .loading.arguments import whole_number

NEAR, UNIFORM = 16, 1


def icon_balance(count: int = 8000) -> dict[str | int, int]:
    """ICON's points, by stratum: `Stream(..., sample={"subject.points": icon_balance()})`.

    Args:
        count: points of a record in all.

    Returns:
        Names of strata to numbers that sum to `count`; strata of which there would be none are left out.

    Raises:
        UsageError: `count` is no number of points.
    """
    count = whole_number("count", count, 1)
    drawn: dict[str | int, int] = {}
    for side, half in (("inside", count // 2), ("outside", count - count // 2)):
        near = round(half * NEAR / (NEAR + UNIFORM))
        drawn |= {f"near_5cm_{side}": near, f"uniform_{side}": half - near}
    return {stratum: number for stratum, number in drawn.items() if number}


def pifu_balance(count: int = 5000) -> dict[str | int, int]:
    """PIFu's points, by stratum: ICON's rule, which is PIFu's, and PIFu's number.

    Args, returns and raises: as `icon_balance`.
    """
    return icon_balance(count)
