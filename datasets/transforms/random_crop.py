"""A window of the picture, drawn anew each time, with the cameras that belong to it.

The window [x0, x0 + w) x [y0, y0 + h) is cut from every picture of the record (fields whose shape begins with height
and width) and, with `resize`, brought to `size`: a point at pixel x, corner origin, is then at (x - x0) * size / w.
Cameras follow exactly: `intrinsics` gives the new pixels, `calib` the new normalised device coordinates, so that
whatever was projected to its pixel still is. `raw_...` cameras describe the raw picture and stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import SchemaError, UsageError
from ..schema import Field
from ._fields import Fields, Record, are_positions, is_picture, measured_in, prefix_of
from ._resize import resize_linear, resize_nearest

FACTORS = (8, 4, 2, 1)  # that JPEG pictures can be decoded smaller by, without more work than needed
MEASURED = (
    "metre",
    "unit vector",
    "radian",
    "pixel",
)  # units whose mean over a pixel's footprint is nothing that is there


@dataclass(frozen=True)
class Window:
    """Part of a picture of `of_width` x `of_height` pixels: its corner `x`, `y` and sides `width`, `height`."""

    x: int
    y: int
    width: int
    height: int
    of_width: int
    of_height: int


class RandomCrop:
    """Cuts one window from all pictures, resized or not, and keeps `intrinsics`, `calib` and pixel coordinates right.

    Colours (float, JPEG, or uint8 of three channels and more, without a frame and a measured unit) are resized with an
    antialiased linear filter; everything else (masks, identities, distances, normals) takes the nearest pixel.

    Args:
        size: height and width of the result in pixels, or one number for both.
        resize: smallest and largest share of the picture's area that the window covers; None cuts `size` unresized.
        ratio: with `resize`, the window is up to this factor wider or narrower than `size` (ImageNet's usual: 4/3).
        centre: the window in the middle, the largest that `resize` allows; nothing is drawn (for evaluation).
        of: crop the pictures behind this reference (`neighbours`) instead of the record's own.
        linear: further fields to be averaged.
        nearest: fields that are not to be averaged.
        ndc_y: whether y of normalised device coordinates points down the picture (as ICON's) or up.
        reduced: with `resize`, decode JPEG pictures at a half, a quarter or an eighth of their size, as far as every
            window still has `size` pixels then. Faster; the pixels differ a little (a block's mean instead of this
            filter), and corners of windows are multiples of that factor.

    Raises:
        ValueError: sizes or shares that no window can have, or `reduced` without `resize`.
    """

    name = "random_crop"
    needs_axes = True  # of pictures, where they were stored
    reads: tuple[str, ...] = ()
    writes: tuple[Field, ...] = ()

    def __init__(
        self,
        size: int | tuple[int, int] = 224,
        resize: tuple[float, float] | None = None,
        ratio: float = 1.0,
        centre: bool = False,
        of: str = "",
        linear: Sequence[str] = (),
        nearest: Sequence[str] = (),
        ndc_y: Literal["down", "up"] = "down",
        reduced: bool = False,
    ) -> None:
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(self.size) < 1:
            raise ValueError(f"size {size}: a picture has at least one pixel")
        if resize is not None and not 0 < resize[0] <= resize[1] <= 1:
            raise ValueError(f"resize {resize}: shares of the area, 0 < smallest <= largest <= 1")
        if not ratio >= 1 or ndc_y not in ("down", "up"):
            raise ValueError(f"ratio {ratio} must be 1 or more, ndc_y {ndc_y!r} down or up")
        if reduced and resize is None:
            raise ValueError("reduced goes with resize: a window that is not resized needs all pixels")
        self.resize, self.ratio, self.of, self.reduced = resize, ratio, of, reduced
        self.linear, self.nearest = frozenset(linear), frozenset(nearest)
        self.random = not centre
        self._y_up = ndc_y == "up"
        self._fields: dict[str, tuple[str, int]] = {}
        self.fixed: frozenset[str] = frozenset()
        self._whole: dict[str, tuple[int, int, int]] = {}

    def bind(self, fields: Fields) -> None:
        """Find the pictures and cameras.

        Raises:
            UsageError: there is no picture, or `linear` or `nearest` name none.
        """
        self._whole = {}  # a copy's own
        own = {name: field for name, field in fields.items() if prefix_of(name) == self.of}
        kinds = {name: (self._kind(name, field), len(field.shape)) for name, field in own.items()}
        unknown = [name for name, (kind, _) in kinds.items() if kind == "refused"]
        if unknown:
            raise UsageError(f"transform {self.name}: nobody knows how {', '.join(unknown)} changes; leave it out")
        self._fields = {name: (kind, sides) for name, (kind, sides) in kinds.items() if kind}
        self.fixed = frozenset(name for name, (kind, _) in kinds.items() if kind in ("linear", "nearest"))
        strangers = (self.linear | self.nearest) - self.fixed
        if not self.fixed or strangers:
            what = f"no picture is called {', '.join(sorted(strangers))}" if strangers else "there is no picture"
            raise UsageError(
                f"transform {self.name}: {what} among {', '.join(fields)} (a picture's shape begins with dimensions "
                "named height and width)"
            )

    def reduction(self, name: str, field: Field, height: int, width: int) -> int:
        """How many times smaller a picture may be decoded; a stream asks once, and then delivers it so.

        Args:
            name: of the field; `bind` was called.
            field: its entry in the schema.
            height: rows of the whole picture.
            width: columns.

        Returns:
            1, 2, 4 or 8; 1 for what is no picture to be averaged, or no JPEG.
        """
        kind, _ = self._fields.get(name, ("", 0))
        if not self.reduced or kind != "linear" or field.codec != "jpg":
            return 1
        factor = next(factor for factor in FACTORS if factor == 1 or self._suffices(height // factor, width // factor))
        self._whole[name] = height, width, factor
        return factor

    def windowed(self, name: str) -> bool:
        """Whether of a picture nothing is looked at but the window; `bind` and `reduction` were called before."""
        return name in self.fixed and not any(factor > 1 for _, _, factor in self._whole.values())

    def window(self, height: int, width: int, rng: Generator | None) -> Window:
        """Draw the window of a picture.

        Args:
            height: its rows.
            width: its columns.
            rng: generator; not needed with `centre`.

        Returns:
            The window, which `__call__` takes, and draws no other then.

        Raises:
            SchemaError: the picture is smaller than the window.
        """
        step = max((factor for _, _, factor in self._whole.values()), default=1)
        x, y, wide, high = self._window(height // step, width // step, rng if self.random else None)
        return Window(step * x, step * y, step * wide, step * high, width, height)

    def _suffices(self, rows: int, columns: int) -> bool:
        """Whether every window of a picture of this size has at least the pixels of the result."""
        assert self.resize is not None
        share = self.resize[0] if self.random else self.resize[1]
        ends = (self.ratio, 1 / self.ratio) if self.random else (1.0, 1.0)
        lowest, narrowest = (self._extent(rows, columns, share, stretch) for stretch in ends)
        return lowest[0] >= self.size[0] and narrowest[1] >= self.size[1]

    def _kind(self, name: str, field: Field) -> str:
        base, shape = name.rpartition(".")[2], field.shape
        if is_picture(field):
            if any(word in field.unit.split() for word in ("pixel", "pixels")):
                return "refused"  # optical flow: its values would have to change, too
            colours = field.dtype.startswith("float") or field.codec == "jpg"
            colours |= field.dtype == "uint8" and shape[2:] in ((3,), (4,))
            colours &= not (field.frame or field.nan or measured_in(field, *MEASURED))
            return "linear" if (colours or name in self.linear) and name not in self.nearest else "nearest"
        if base.startswith("raw_"):
            return ""
        if base.endswith("intrinsics") and shape[-2:] == (3, 3):
            return "intrinsics"
        if base.endswith("calib") and shape[-2:] == (4, 4):
            return "calib"
        if are_positions(field):
            return "pixels"
        pixels = any(word in field.unit.split() for word in ("pixel", "pixels"))
        if pixels or any(str(side).endswith(("height", "width")) for side in shape):
            return "refused"  # velocities, sizes, pictures behind other axes: nobody knows
        places = field.frame == "ndc" and shape[-1:] in ((2,), (3,)) and not measured_in(field, "unit vector")
        return "ndc" if places else ""

    def __call__(
        self, record: Record, rng: Generator | None = None, window: Window | None = None
    ) -> dict[str, NDArray[Any]]:
        """The record within the window.

        Args:
            record: arrays of the fields given to `bind`; pictures may have leading axes (several cameras).
            rng: generator that draws the window; not needed with `centre`.
            window: drawn before; pictures need no right pixels elsewhere then.

        Returns:
            a new mapping; arrays without relation to the picture are the ones given.

        Raises:
            SchemaError: pictures differ in size, or are smaller than the window.
            UsageError: `bind` was not called, or there is no generator.
        """
        if not self._fields or (self.random and rng is None and window is None):
            raise UsageError(
                f"transform {self.name}: call bind(fields) first, and give a generator (a Stream does both)"
            )
        here = {name: kind for name, kind in self._fields.items() if name in record}
        height, width = self._picture_size(record, here)
        window = window or self.window(height, width, rng)
        return {**record, **{name: self._changed(name, record[name], *kind, window) for name, kind in here.items()}}

    def _picture_size(self, record: Record, here: dict[str, tuple[str, int]]) -> tuple[int, int]:
        sizes: dict[tuple[int, int], str] = {}
        for name, (kind, sides) in here.items():
            if kind in ("linear", "nearest"):
                array = record[name]
                found = array.shape[array.ndim - sides], array.shape[array.ndim - sides + 1]
                sizes[self._whole[name][:2] if name in self._whole else found] = name
        if len(sizes) != 1:
            each = ", ".join(f"`{name}` is {height} x {width}" for (height, width), name in sizes.items())
            raise SchemaError(
                f"transform {self.name}: one window needs pictures of one size; "
                f"{each or 'this record has none of ' + ', '.join(sorted(self.fixed))}"
            )
        return next(iter(sizes))

    def _window(self, rows: int, columns: int, rng: Generator | None) -> tuple[int, int, int, int]:
        """Corner x, y, width and height of a window in a picture."""
        height, width = self.size
        if self.resize:
            share = rng.uniform(*self.resize) if rng else self.resize[1]
            stretch = np.exp(rng.uniform(-1, 1) * np.log(self.ratio)) if rng else 1.0
            height, width = self._extent(rows, columns, share, stretch)
        if height > rows or width > columns:
            raise SchemaError(
                f"transform {self.name}: pictures of {rows} x {columns} have no window of {height} x {width}; "
                "choose a smaller size, or resize=(0.25, 1)"
            )
        free_x, free_y = columns - width, rows - height
        x, y = (int(rng.integers(free_x + 1)), int(rng.integers(free_y + 1))) if rng else (free_x // 2, free_y // 2)
        return x, y, width, height

    def _extent(self, rows: int, columns: int, share: float, stretch: float) -> tuple[int, int]:
        """Height and width of a window that covers a share of a picture."""
        aspect = self.size[1] / self.size[0] * stretch
        high, wide = np.sqrt(share * rows * columns / aspect), np.sqrt(share * rows * columns * aspect)
        fit = min(1.0, rows / high, columns / wide)  # the same shape, smaller, where it would stick out
        return max(1, round(high * fit)), max(1, round(wide * fit))

    def _changed(self, name: str, array: NDArray[Any], kind: str, sides: int, window: Window) -> NDArray[Any]:
        if kind in ("linear", "nearest"):
            rows, step = array.ndim - sides, self._whole[name][2] if name in self._whole else 1
            x, y, width, height = (n // step for n in (window.x, window.y, window.width, window.height))
            cut = array[(slice(None),) * rows + (slice(y, y + height), slice(x, x + width))]
            if self.size == (height, width):
                return cut if cut.shape != array.shape else array
            return (resize_linear if kind == "linear" else resize_nearest)(cut, rows, self.size)
        scale, shift = self._pixel_map(window) if kind in ("intrinsics", "pixels") else self._ndc_map(window)
        if kind in ("pixels", "ndc"):
            changed = np.array(array)
            changed[..., :2] = array[..., :2] * scale + shift
            return changed
        matrix = np.eye(array.shape[-1])
        matrix[[0, 1], [0, 1]], matrix[:2, -1] = scale, shift
        return np.asarray(matrix @ array, array.dtype)

    def _pixel_map(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and shift (2,) from old pixels to new ones."""
        scale = np.array([self.size[1] / window.width, self.size[0] / window.height])
        return scale, -scale * (window.x, window.y)

    def _ndc_map(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same between normalised device coordinates: -1 and 1 are the picture's edges."""
        sides, whole = np.array([window.width, window.height]), np.array([window.of_width, window.of_height])
        scale = whole / sides
        shift = scale - 1 - 2 * np.array([window.x, window.y]) / sides
        return scale, shift * (1, -1) if self._y_up else shift


TRANSFORM = RandomCrop
