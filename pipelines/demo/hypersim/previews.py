"""The preview pictures that lie beside each frame's HDF5 files."""

import cv2
import numpy as np
from numpy.typing import NDArray

from .arrays import Bools, Bytes, Frame, Ints, single

# Every float16 there is, in the order of its bits: a function of a float16 image is one table look-up.
HALVES = np.nan_to_num(np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32), nan=0.0, posinf=65504.0,
                       neginf=-65504.0)  # fmt: skip


def palette(count: int) -> Ints:
    """Colours (count, 3) int64 in 0..255, distinct for neighbouring ids (golden-angle hues); row 0 is -1 (no id)."""
    hue = (np.arange(count) * 0.618034 % 1.0 * 180).astype(np.uint8)
    shade = np.array([255, 205, 155], np.uint8)[np.arange(count) % 3]
    hsv = np.stack([hue, np.full(count, 150, np.uint8), shade], axis=1)
    colours = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0].astype(np.int64)
    colours[0] = -1
    return colours


def tone_scale(frame: Frame) -> float:
    """Factor on linear colour that brings the 90th percentile of brightness to 0.8 after gamma (as ml-hypersim).

    1 where no pixel is valid, 0 where that percentile is below 1e-4.
    """
    valid = frame["color"][frame["render_entity_id"] != -1].astype(np.float32)
    if len(valid) == 0:
        return 1.0
    bright = float(np.percentile(valid @ single([0.3, 0.59, 0.11]), 90))
    return 0.0 if bright < 1e-4 else 0.8**2.2 / bright


def _table(scale: float, gamma: float) -> Bytes:
    curve = np.clip(HALVES * scale, 0.0, 1.0) ** gamma
    return (curve * 255 + 0.5).astype(np.uint8)


LINEAR, GAMMA = _table(1.0, 1.0), _table(1.0, 1 / 2.2)


def _through(table: Bytes, image: NDArray[np.float16]) -> Bytes:
    return table[image.view(np.uint16)]


def final_previews(frame: Frame) -> dict[str, Bytes]:
    """RGB pictures (H, W, 3) of `final_preview`, by name; `diff` is what colour has beyond its stored parts."""
    parts = [frame[k].astype(np.float32) for k in ("diffuse_reflectance", "diffuse_illumination", "residual", "color")]
    lambertian = parts[0] * parts[1]
    whole = lambertian + parts[2]
    with np.errstate(invalid="ignore"):
        diff = np.nan_to_num(np.abs(parts[3] - whole), nan=0.0)
    out = {name: _through(LINEAR, frame[name]) for name in
           ("color", "diffuse_illumination", "diffuse_reflectance", "residual")}  # fmt: skip
    out["gamma"] = _through(GAMMA, frame["color"])
    out["tonemap"] = _through(_table(tone_scale(frame), 1 / 2.2), frame["color"])
    for name, image in (("lambertian", lambertian), ("non_lambertian", whole), ("diff", diff)):
        out[name] = (np.clip(image, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)
    return out


def _opaque(rgb: Bytes, valid: Bools) -> Bytes:
    return np.dstack([rgb, np.where(valid, np.uint8(255), np.uint8(0))])


def geometry_previews(frame: Frame) -> dict[str, Bytes]:
    """Pictures of `geometry_preview` by name: RGBA (H, W, 4), background transparent; `color` and `gamma` RGB.

    The published geometry pass renders without diffuse light, so its colour is the residual here too.
    """
    valid = frame["render_entity_id"] != -1
    signed = np.clip((HALVES + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8)
    out = {name: _opaque(_through(signed, frame[name]), valid) for name in
           ("normal_cam", "normal_world", "normal_bump_cam", "normal_bump_world")}  # fmt: skip
    wrapped = HALVES % 1.0
    out["tex_coord"] = _opaque(_through((wrapped * 255).astype(np.uint8), frame["tex_coord"]), valid)
    out["depth_meters"] = _opaque(_heat(frame["depth_meters"], valid), valid)
    for name in ("render_entity_id", "semantic", "semantic_instance"):
        ids = frame[name].clip(0)
        out[name] = _opaque(palette(int(ids.max()) + 1).clip(0).astype(np.uint8)[ids], frame[name] > 0)
    return out | {"color": _through(LINEAR, frame["residual"]), "gamma": _through(GAMMA, frame["residual"])}


def _heat(depth: NDArray[np.float16], valid: Bools) -> Bytes:
    """Depth (H, W) from its least to its greatest value in viridis, (H, W, 3) RGB."""
    metres = np.where(valid, depth, 0).astype(np.float32)
    low, high = (float(metres[valid].min()), float(metres[valid].max())) if valid.any() else (0.0, 1.0)
    grey = np.clip((metres - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
