"""People in pictures of one's own, as meshes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ....datasets.errors import UsageError
from ....validation.metrics.normal_map import normal_map
from ....validation.metrics.raster import look
from ...fields.mesh import Mesh
from ...people.own_body import OwnBody, picture_calib, read_body
from ...predict import Given, PredictOptions, read_given, read_picture
from ...trained import Trained, load_trained
from .body import BodyQuery, body_surface
from .config import ImplicitConfig, check_resolution
from .engine import ImplicitEngine
from .evaluate import write_person
from .surface import person_surface, vertex_sigma

READ = ("image", "normal_f", "normal_b", "body_normal_f", "body_normal_b")
SHOWN = 512  # pixels of a side of an overlay; more than half of it at least


def predict(run: Trained, options: PredictOptions) -> Callable[[Path, Path], dict[str, Any]]:
    """Write NAME.obj, NAME.glb (metres, y up), NAME.png (all round) and NAME_overlay.png for each picture.

    Raises:
        UsageError: the network sees something that a picture alone does not give.
    """
    config, engine = run.config.model, run.engine
    assert isinstance(config, ImplicitConfig) and isinstance(engine, ImplicitEngine)
    check_pictures_do(run, config)
    if options.resolution:
        check_resolution(options.resolution, "--resolution")
    helper = load_trained(options.normals, None) if options.normals else None
    size = config.size or run.picture_size()

    def one(path: Path, out: Path) -> dict[str, Any]:
        start, given = time.perf_counter(), read_given(path, size)
        body = read_body(given, options.height, run.folder.path) if config.with_body else None
        batch = made_batch(config, given, body, options, helper)
        moved = {name: value.to(run.device) for name, value in batch.items()}
        query = asked_body(config, body)
        mesh, grid = person_surface(engine, moved, query, options.resolution or config.resolution)
        write_person(out, given.name, mesh, moved, vertex_sigma(engine, moved, query, mesh))
        Image.fromarray(overlay(given, mesh)).save(out / f"{given.name}_overlay.png")
        return {"mesh": f"{given.name}.obj", "vertices": len(mesh.vertices), "faces": len(mesh.faces),
                "height_m": float(np.ptp(mesh.vertices[:, 1]) / batch["calib"][0, 0, 0]),
                "asked": grid.evaluated, "seconds": time.perf_counter() - start}  # fmt: skip

    return one


def check_pictures_do(run: Trained, config: ImplicitConfig) -> None:
    """Refuse a network that sees what a picture alone does not give.

    Raises:
        UsageError: with what it sees.
    """
    odd: list[str] = [name for name in config.inputs if name not in READ]
    odd += ["the body's volume"] if config.with_volume else []
    odd += ["blocks of a grid"] if config.grid else []
    odd += ["perspective pictures"] if run.folder.summary().get("camera") == "perspective" else []
    if odd:
        raise UsageError(f"{run.folder.path}: its network sees {', '.join(odd)}, which is not made of pictures here; "
                         "make shards of them and use tessera eval")  # fmt: skip


def asked_body(config: ImplicitConfig, body: OwnBody | None) -> BodyQuery | None:
    """The body as points are asked about it; None where the network does not."""
    if body is None or not config.about_body:
        return None
    surface = body_surface(body.vertices, body.faces, torch.get_num_threads())
    return BodyQuery(surface, body.normals.astype(np.float32), body.visible, body.calib, body.arrays,
                     config.about_body, config.feature_clip)  # fmt: skip


def made_batch(
    config: ImplicitConfig, given: Given, body: OwnBody | None, options: PredictOptions, helper: Trained | None
) -> dict[str, torch.Tensor]:
    """What the network wants of one picture, as a stream would give it."""
    size = given.mask.shape[0]
    calib = picture_calib(options.height) if body is None else body.calib
    made: dict[str, NDArray[Any]] = {"mask": given.mask, "image": given.image, "calib": calib}
    wanted: list[str] = [name for name in config.inputs if name.startswith("normal_") and config.normals == "given"]
    if wanted:
        made |= own_normals(given, wanted, options, helper, size)
    if body is not None:
        made |= {f"body_normal_{side}": body.normal_map(size, side == "b") for side in "fb"}
    return {name: torch.from_numpy(np.ascontiguousarray(value))[None] for name, value in made.items()}


def own_normals(
    given: Given, wanted: list[str], options: PredictOptions, helper: Trained | None, size: int
) -> dict[str, NDArray[np.float32]]:
    """Normals beside the picture, or those that a network makes, in our camera's axes.

    Raises:
        UsageError: there are none, and no network to make them.
    """
    made, missing = {}, []
    for name in wanted:
        path = given.folder / f"{given.name}_{name}.png"
        if path.is_file():
            picture = read_picture(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
            normals = np.asarray(picture, np.float32) / 127.5 - 1
            length = np.linalg.norm(normals, axis=-1, keepdims=True)
            made[name] = normals / np.maximum(length, 1e-6) * given.mask[..., None]
        else:
            missing.append(name)
    if missing:
        if helper is None:
            names = ", ".join(f"{given.name}_{name}.png" for name in missing)
            raise UsageError(f"the network wants {', '.join(missing)}: give {names}, or --normals RUN to make them")
        from ..normals.predict import picture_size, predicted_normals

        seen = picture_size(helper)
        resized = _resized(given, seen)
        found = predicted_normals(helper, resized, options.height)
        for name in missing:
            coded = torch.from_numpy(found[name]).permute(2, 0, 1)[None]
            scaled = torch.nn.functional.interpolate(coded, (size, size), mode="bilinear")[0].permute(1, 2, 0).numpy()
            made[name] = scaled * given.mask[..., None]
    return {name: (normals * np.array([1, -1, -1], np.float32)).astype(np.float32) for name, normals in made.items()}


def _resized(given: Given, size: int) -> Given:
    image = Image.fromarray(given.image).resize((size, size), Image.Resampling.BOX)
    mask = Image.fromarray(given.mask.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BOX)
    return Given(given.name, np.array(image), np.asarray(mask) > 127, given.folder)


def overlay(given: Given, mesh: Mesh) -> NDArray[np.uint8]:
    """The picture with the mesh's normals over it, half and half, and the mask's outline in red.

    (S, S, 3); a small picture's pixels are drawn larger, so that S is some `SHOWN`.
    """
    times = max(1, SHOWN // given.mask.shape[0])
    image = np.repeat(np.repeat(given.image, times, 0), times, 1)
    mask = np.repeat(np.repeat(given.mask, times, 0), times, 1)
    raster = look(mesh.vertices, mesh.faces, len(mask))
    seen = normal_map(raster, mesh.vertices, mesh.faces, mirrored=False) * np.array([1, -1, 1], np.float32)
    drawn = np.where((raster.face >= 0)[..., None], 0.5 * image + 0.5 * 127.5 * (seen + 1), image)
    inner = mask.copy()
    for axis in (0, 1):
        for shift in (-1, 1):
            inner &= np.roll(mask, shift, axis)
    drawn[mask & ~inner] = (255, 0, 0)
    return np.rint(drawn).astype(np.uint8)
