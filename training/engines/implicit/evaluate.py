"""Surfaces of a trained run against the scans: in real centimetres with a fixed draw, and as published."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ....datasets.body_arrays import ARRAYS, BODY
from ....datasets.errors import UsageError
from ....datasets.stream import Stream
from ....datasets.surface.surface import Surface
from ....datasets.table import Dataset
from ....datasets.transforms import load_transform
from ....validation.metrics.normal_error import icon_normal_error
from ....validation.metrics.normal_map import published_pictures
from ....validation.metrics.occupancy import OccupancyScores
from ....validation.metrics.surface_error import fixed_error, published_error
from ....validation.metrics.surface_samples import OrientedSamples
from ...evaluate import EvalOptions, Row, chosen
from ...fields.grid import FieldError
from ...fields.mesh import Mesh
from ...streams import required
from ...trained import Trained
from . import inputs
from .body import BodyQuery, body_surface
from .config import ImplicitConfig, check_resolution
from .engine import LEVEL, ImplicitEngine, limited
from .request import perspective, request
from .surface import person_surface, vertex_sigma

SCAN = ("subject.scan_surface", "subject.scan_surface_normal", "subject", "yaw", "pitch")
QUARTERS = (0, 90, 180, 270)
Kept = TypeVar("Kept")


def evaluate(run: Trained, options: EvalOptions) -> Iterator[Row]:
    """A row for each view of the split.

    Raises:
        UsageError: the data set lacks what the evaluation needs.
    """
    engine, config = run.engine, run.config.model
    assert isinstance(engine, ImplicitEngine) and isinstance(config, ImplicitConfig)
    if options.resolution:
        check_resolution(options.resolution, "--resolution")
    stream = open_evaluation(run, options)
    arrays = run.assets()(BODY, ARRAYS, "--body-models") if config.about_body else {}
    views, person = FourViews(run.config.data.data), OfPerson(arrays)
    for batch in chosen(stream, options):
        start = time.perf_counter()
        moved = {k: v.to(run.device) if isinstance(v, torch.Tensor) else v for k, v in batch.items()}
        row: Row = {"key": batch["key"][0], "subject": _text(batch["subject"]), **_points(engine, moved)}
        body = person.body(moved, config)
        try:
            mesh, grid = person_surface(engine, moved, body, options.resolution or config.resolution)
        except FieldError as error:
            yield row | _nothing(str(error)) | {"seconds": time.perf_counter() - start}
            continue
        row |= figures(mesh, moved["calib"], person.scan(moved), options)
        row |= {"normal_error": views.error(batch, mesh), "asked": grid.evaluated}
        if options.meshes:
            write_person(run.folder.path / "eval" / "meshes", batch["key"][0], mesh, moved,
                         vertex_sigma(engine, moved, body, mesh))  # fmt: skip
        yield row | {"note": "", "seconds": time.perf_counter() - start}


def open_evaluation(run: Trained, options: EvalOptions) -> Stream:
    """One view a batch: what the network sees, the body's vertices, and the scan's surface."""
    config = run.config.model
    assert isinstance(config, ImplicitConfig) and run.catalog is not None
    asked = request(config, run.catalog, False)
    more = list(SCAN)
    transforms = list(asked.transforms)
    if config.about_body:
        more += ["subject.body_vertices", "subject.body_normals", "body_visible"]
        features = load_transform("icon_features", features=config.about_body, drop=False, clip=config.feature_clip)
        transforms = [features if x.name == "icon_features" else x for x in transforms]
    if options.body:
        check_variants(config, options.body)
        more += [f"noisy_{name.removeprefix('body_')}" for name in asked.fields if name.startswith("body_normal_")]
    if options.body or config.about_body:
        picked = load_transform("pick_body", body=options.body)
        transforms = [picked, *(x for x in transforms if x.name != "pick_body")]
    return Stream(
        run.config.data.data, asked.table, options.split, tuple(dict.fromkeys([*asked.fields, *more])), batch_size=1,
        order="sequential", draws="fixed", sample=dict(asked.sample), seed=options.seed,
        transforms=[*required(run.catalog, asked, run.spec.name), *transforms],
        cache_dir=run.config.data.cache,
    )  # fmt: skip


def check_variants(config: ImplicitConfig, body: int) -> None:
    """Refuse a noise variant of the body where the network sees none, or sees the fit in its place.

    Raises:
        UsageError: with what it sees.
    """
    if not config.with_body:
        raise UsageError(f"--body {body}: the network sees no body")
    if config.grid:
        raise UsageError(f"--body {body}: the network sees the stored grid, which is of the fit alone")
    if "body_parts" in config.inputs:
        raise UsageError(f"--body {body}: the network sees body_parts, which is of the fit alone")


class OfPerson:
    """What is asked of a person in each of the views, made once: the scan's samples, the body's surface.

    Args:
        arrays: `faces` and more of all bodies; empty where the network sees none.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._arrays = arrays
        self._scans: dict[str, OrientedSamples] = {}
        self._bodies: dict[str, Surface] = {}

    def scan(self, batch: dict[str, Any]) -> OrientedSamples:
        """The scan of a batch of one record, world metres."""
        return _kept(self._scans, _text(batch["subject"]), lambda: OrientedSamples(
            *(batch[name].reshape(-1, 3).double().cpu().numpy() for name in SCAN[:2])))  # fmt: skip

    def body(self, batch: dict[str, Any], config: ImplicitConfig) -> BodyQuery | None:
        """The body of a batch of one record; None where the network sees none."""
        if not config.about_body:
            return None
        names = ("subject.body_vertices", "subject.body_normals", "body_visible", "calib")
        vertices, normals, visible, calib = (batch[name][0].cpu().numpy() for name in names)
        surface = _kept(self._bodies, _text(batch["subject"]), lambda: body_surface(
            vertices, self._arrays["faces"], torch.get_num_threads()))  # fmt: skip
        return BodyQuery(surface, normals, visible, calib, self._arrays, config.about_body, config.feature_clip)


def _kept(kept: dict[str, Kept], key: str, make: Callable[[], Kept]) -> Kept:
    """What was made for this key; only the last one's is kept."""
    if key not in kept:
        made = make()
        kept.clear()
        kept[key] = made
    return kept[key]


def figures(mesh: Mesh, calib: torch.Tensor, scan: OrientedSamples, options: EvalOptions) -> Row:
    """Errors of a surface in both protocols.

    Args:
        mesh: in the view's cube.
        calib: (1, 4, 4) world metres to the cube, the same scale along all axes.
        scan: the truth, world metres.
        options: samples and seed.
    """
    into = calib[0].double().cpu().numpy()
    back = np.linalg.inv(into)
    world = mesh.vertices @ back[:3, :3].T + back[:3, 3]
    faces = mesh.faces if np.linalg.det(into[:3, :3]) > 0 else mesh.faces[:, ::-1]
    real = fixed_error((world, faces), scan, options.samples, options.seed)
    rng, half_sides = np.random.default_rng(options.seed), float(np.linalg.norm(into[0, :3]))
    published = published_error((world, faces), scan, rng, half_sides=half_sides)
    return {
        "chamfer_cm": real.chamfer, "p2s_cm": real.p2s, "reverse_p2s_cm": real.reverse_p2s,
        "chamfer_within_cm": real.chamfer_within, "published_chamfer": published.chamfer,
        "published_p2s": published.p2s,
    }  # fmt: skip


def _points(engine: ImplicitEngine, batch: dict[str, Any]) -> Row:
    """IoU, precision, recall of the record's own points; how far their sigma goes with their error."""
    with torch.no_grad():
        out = engine.network.query(engine.network.encode(batch), batch, batch["subject.points"])[-1]
    found = out[:, 0]
    scores = OccupancyScores(LEVEL).to(found.device)
    scores.update(found, batch["subject.sdf"] < 0)
    row = {name: float(value) for name, value in scores.compute().items()}
    if engine.config.uncertainty:
        sigma = limited(out[:, 1]).exp()
        off = (found - inputs.target(engine.config, batch["subject.sdf"])).abs()
        row |= {"sigma": float(sigma.mean()),
                "sigma_tells": float(torch.corrcoef(torch.cat([sigma, off]))[0, 1])}  # fmt: skip
    return row


def _nothing(note: str) -> Row:
    """Figures of a field without a surface."""
    lost = dict.fromkeys(("chamfer_cm", "p2s_cm", "reverse_p2s_cm", "chamfer_within_cm", "published_chamfer",
                          "published_p2s", "normal_error"), float("nan"))  # fmt: skip
    return lost | {"asked": 0, "note": note}


class FourViews:
    """The published normal error against the stored normals of the views a quarter turn apart, where they are there.

    Of orthographic pictures in a local folder alone: a surface is rendered as they were.

    Args:
        data: folder of the data set.
    """

    def __init__(self, data: str) -> None:
        there = Path(data).is_dir() and not perspective(Dataset(data).catalog)
        self._table = Dataset(data).table("views") if there else None
        self._keys: dict[tuple[str, float, float], str] = {}
        if self._table is not None:
            index = self._table.index()
            columns = (index.column(name).to_pylist() for name in ("key", "subject", "yaw", "pitch"))
            self._keys = {(subject, yaw % 360, pitch): key for key, subject, yaw, pitch in zip(*columns, strict=True)}

    def error(self, batch: dict[str, Any], mesh: Mesh) -> float:
        """ICON's "NC" of one record; NaN where a view is not there."""
        yaw, pitch = float(batch["yaw"][0]), float(batch["pitch"][0])
        keys = [self._keys.get((_text(batch["subject"]), (yaw + turn) % 360, pitch)) for turn in QUARTERS]
        if self._table is None or any(key is None for key in keys):
            return float("nan")
        truth = [self._table[str(key)]["normal_f"] * np.array([1, -1, -1], np.float32) for key in keys]
        masks = [np.linalg.norm(view, axis=-1, keepdims=True) > 0.5 for view in truth]
        colours = np.stack([np.where(mask, (view + 1) / 2, 0) for view, mask in zip(truth, masks, strict=True)])
        back = np.linalg.inv(batch["calib"][0].double().cpu().numpy())
        turns = np.stack([self._table[str(key)]["calib"] @ back for key in keys])  # raised cameras turn about no y axis
        found = published_pictures(mesh.vertices, mesh.faces, colours.shape[1], mirrored=False, turns=turns)
        return float(icon_normal_error(torch.from_numpy(found), torch.from_numpy(colours.astype(np.float32))))


def write_person(
    folder: Path, key: str, mesh: Mesh, batch: dict[str, Any], sigma: NDArray[np.float32] | None = None
) -> None:
    """Write a mesh in world metres (OBJ, GLB), and pictures of it all round.

    Args:
        folder: that they are written to.
        key: the files' name.
        mesh: in the view's cube.
        batch: of one record, with `calib`.
        sigma: (V,) how unsure the network is, shown in colours; None where it does not tell.
    """
    from ...fields.colours import sigma_colours
    from ...fields.mesh_files import write_glb, write_obj
    from ...fields.turntable import contact_strip, turntable, write_png

    folder.mkdir(parents=True, exist_ok=True)
    world = inputs.world_points(torch.from_numpy(mesh.vertices)[None].float(), batch["calib"].cpu())[0].double().numpy()
    turned = Mesh(world, np.ascontiguousarray(mesh.faces[:, ::-1]))
    colours = None if sigma is None else sigma_colours(sigma)
    write_obj(folder / f"{key}.obj", turned, colours)
    write_glb(folder / f"{key}.glb", turned, colours)
    write_png(folder / f"{key}.png", contact_strip(turntable(mesh)))
    if colours is not None:
        write_png(folder / f"{key}_sigma.png", contact_strip(turntable(mesh, colours=colours)))


def _text(value: Any) -> str:
    return str(value[0])
