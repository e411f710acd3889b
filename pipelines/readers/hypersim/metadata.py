"""Hypersim's small CSV files, parsed from bytes with every cell checked."""

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence

from ....datasets.errors import RawDataError

SCENE = re.compile(r"ai_\d{3}_\d{3}", re.ASCII)
CAMERA = re.compile(r"cam_\d{2}", re.ASCII)
SCALE_NAME = "meters_per_asset_unit"
FETCH_AGAIN = "truncated or edited? fetch it again"


def table_rows(data: bytes, source: str, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Line number and the cells of some columns, for each row of a CSV file with a header.

    Args:
        data: the file.
        source: what the file is called in messages.
        columns: names of columns that must be there; others are passed over.

    Raises:
        RawDataError: the file is empty or no UTF-8 text, a column is missing, or a row is longer or shorter than the
            header.
    """
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        header = next(rows, [])
        missing = [name for name in columns if name not in header]
        if missing:
            raise RawDataError(f"{source}: no column {missing[0]!r} in its first line; {FETCH_AGAIN}")
        places = [header.index(name) for name in columns]
        for row in rows:
            if len(row) == len(header):
                yield rows.line_num, [row[place] for place in places]
            elif row:
                raise RawDataError(
                    f"{source}: line {rows.line_num} has {len(row)} of {len(header)} cells; {FETCH_AGAIN}"
                )
    except (UnicodeDecodeError, csv.Error) as error:
        raise RawDataError(f"{source}: not a CSV text file ({error}); {FETCH_AGAIN}") from error


def parse_number(text: str, place: str) -> float:
    """A finite number; `place` says where it stands.

    Raises:
        RawDataError: it is no number, NaN or infinite.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RawDataError(f"{place}: {text!r} is not a finite number; {FETCH_AGAIN}")
    return value


def parse_cameras_csv(data: bytes, source: str) -> list[str]:
    """Camera names of `_detail/metadata_cameras.csv`, in its order; some may have no folder.

    Raises:
        RawDataError: not such a file, no cameras, one twice, or a name that is not `cam_NN`.
    """
    names: list[str] = []
    for line, (name,) in table_rows(data, source, ("camera_name",)):
        if not CAMERA.fullmatch(name) or name in names:
            raise RawDataError(f"{source}: line {line}: {name!r} is no new camera name (cam_NN); {FETCH_AGAIN}")
        names.append(name)
    if not names:
        raise RawDataError(f"{source}: lists no camera; {FETCH_AGAIN}")
    return names


def parse_scene_csv(data: bytes, source: str) -> float:
    """Metres per asset unit from `_detail/metadata_scene.csv`.

    Raises:
        RawDataError: not such a file, no such row, or no positive finite number in it.
    """
    for line, (name, value) in table_rows(data, source, ("parameter_name", "parameter_value")):
        if name == SCALE_NAME:
            scale = parse_number(value, f"{source}: line {line}")
            if scale <= 0:
                raise RawDataError(f"{source}: line {line}: {SCALE_NAME} is {value}, must be positive; {FETCH_AGAIN}")
            return scale
    raise RawDataError(f"{source}: no row {SCALE_NAME!r}; {FETCH_AGAIN}")
