"""Each engine learns, trains all of itself, and treats each record and each point by itself."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tessera.datasets import Catalog, Stream
from tessera.datasets.transforms import load_transform
from tessera.training.config import DataConfig, RunConfig
from tessera.training.discover import engine_names, load_engine
from tessera.training.engine import Engine, record_weights
from tessera.training.engines.implicit.body import BodyQuery, body_surface
from tessera.training.engines.implicit.config import ImplicitConfig
from tessera.training.engines.implicit.inputs import target
from tessera.training.engines.normals.config import NormalsConfig
from tessera.training.streams import open_stream

from . import people
from .runs import settings

PRESETS = [(engine, preset) for engine in engine_names() for preset in load_engine(engine).presets]
BODY = ("z", "sdf", "cmap", "norm", "vis", "part", "volume")
VARIANTS = {
    "every picture": {
        "inputs": ("image", "normal_f", "normal_b", "body_normal_f", "orientation", "body_parts"),
        "by_visibility": False,
    },
    "every feature": {"geometry": BODY, "by_visibility": False},
    "no picture": {"inputs": (), "by_visibility": False},
    "attention": {"attention": "channel"},
    "spatial attention": {"attention": "spatial"},
    "mixer": {"head": "mixer"},
    "u": {"shape": "u"},
    "n": {"shape": "n"},
    "sdf": {"target": "sdf"},
    "uncertainty": {"uncertainty": True},
    "encoding": {"encoding": 4},
    "triplane": {"triplane": "both"},
    "predicted normals": {"normals": "predicted"},
    "random bodies": {"body": "random", "sdf_noise": 0.01, "normal_noise": 0.05},
    "two stacks": {"stacks": 2},
}


def shrunk(config: RunConfig) -> RunConfig:
    """The same network with few channels."""
    model = config.model
    if isinstance(model, NormalsConfig):
        return replace(config, model=replace(model, filters=4, downs=min(model.downs, 2), blocks=1, size=0))
    assert isinstance(model, ImplicitConfig)
    small = {
        "width": 16, "depth": 1, "hidden": (16,) * (len(model.hidden) - 1) + (8,), "points": 64, "size": 0,
        "features": min(model.features, 8), "volume_width": 4, "volume_features": min(model.volume_features, 8),
        "plane_features": 4, "plane_size": 8, "normals_filters": 4, "normals_downs": 1, "normals_blocks": 1,
    }  # fmt: skip
    return replace(config, model=replace(model, **small))


def built(config: RunConfig, seed: int = 0) -> Engine:
    torch.manual_seed(seed)
    return load_engine(config.engine).build(config, Catalog.read(Path(config.data.data)))


def stream(config: RunConfig, split: str = "train", batch: int = 4, look: bool = False) -> Stream:
    spec, catalog = load_engine(config.engine), Catalog.read(Path(config.data.data))
    return open_stream(spec, config, catalog, split, "look" if look else "train", batch=batch)


def first_batch(config: RunConfig, **how: object) -> dict:
    with stream(config, **how) as opened:
        return next(iter(opened))


def variant(data: Path, **changes: object) -> RunConfig:
    config = settings("implicit", data, None)
    return shrunk(replace(config, model=replace(config.model, norm="none", **changes)))


def check_step(config: RunConfig, *, whole: bool = True) -> None:
    """One step: finite losses of each record, and a gradient for everything that is trained."""
    engine, batch = built(config).train(), first_batch(config)
    losses = engine.losses(batch)
    assert all(loss.shape == (4,) and torch.isfinite(loss).all() for loss in losses.values())
    engine.training_step(batch, 0).backward()
    trained = {name: p.grad for name, p in engine.named_parameters() if p.requires_grad}
    assert trained and all(gradient is not None and torch.isfinite(gradient).all() for gradient in trained.values())
    nothing = [name for name, gradient in trained.items() if gradient.ndim > 1 and not gradient.any()]
    assert not nothing, f"no gradient: {nothing}"


@pytest.mark.parametrize(("engine", "preset"), PRESETS)
def test_every_preset_builds_and_takes_a_step(engine, preset, data):
    found = load_engine(engine).presets[preset].config(engine, preset, str(data))
    check_step(shrunk(found))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_takes_a_step(name, data):
    check_step(variant(data, **VARIANTS[name]))


@pytest.mark.parametrize("engine", ["implicit", "normals"])
def test_the_loss_falls_over_forty_steps(engine, data):
    config = settings(engine, data, None)
    made, batch = built(config).train(), first_batch(config)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)
    seen = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.stack(list(made.losses(batch).values())).sum(0).mean()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert seen[-1] < 0.6 * seen[0], seen


@pytest.mark.parametrize(("engine", "norm"), [
    ("implicit", "none"), ("implicit", "group"), ("implicit", "instance"), ("implicit", "layer"),
    ("normals", "instance"), ("normals", "group"),
])  # fmt: skip
def test_a_records_loss_does_not_depend_on_the_others_in_the_batch(engine, norm, data):
    config = settings(engine, data, None, "--model.norm", norm)
    made, batch = built(config).train(), first_batch(config)
    together = made.losses(batch)
    for row in range(4):
        one = {name: value[row : row + 1] for name, value in batch.items()}
        alone = made.losses(one)
        for name, loss in together.items():
            torch.testing.assert_close(alone[name][0], loss[row], rtol=1e-4, atol=1e-6)
    assert len({round(float(x.detach()), 7) for x in next(iter(together.values()))}) == 4, "the records differ"


def test_repeats_weigh_nothing_and_the_others_make_a_mean(data):
    config = settings("normals", data, None)
    made, batch = built(config).train(), first_batch(config)
    batch = batch | {"repeat": torch.tensor([False, True, False, False])}
    torch.testing.assert_close(record_weights(batch), torch.tensor([1 / 3, 0, 1 / 3, 1 / 3]))
    losses = torch.stack(list(made.losses(batch).values())).sum(0)
    torch.testing.assert_close(made.training_step(batch, 0), losses[[0, 2, 3]].mean())


def test_occupancy_is_one_inside():
    sdf = torch.tensor([[-0.2, -1e-3, 1e-3, 0.2]])
    torch.testing.assert_close(target(ImplicitConfig(), sdf), torch.tensor([[1.0, 1.0, 0.0, 0.0]]))


def test_the_distance_as_a_target_is_one_half_on_the_surface_and_larger_inside():
    config = ImplicitConfig(target="sdf", clip=15.0)
    sdf = torch.tensor([[-1.0, -0.15, -0.075, 0.0, 0.075, 0.15, 1.0]])
    torch.testing.assert_close(target(config, sdf), torch.tensor([[1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]]))


class Kept(torch.nn.Module):
    """A head that gives its features."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def seen_at(data: Path, batch: dict, points: torch.Tensor, **changes: object) -> torch.Tensor:
    """(channels, n) that the head gets for points of each record."""
    config = variant(data, encoder="none", by_visibility=False, **changes)
    engine = built(config).eval()
    engine.network.head = Kept()
    return engine.network.query(engine.network.encode(batch), batch, points)[-1]


def test_a_point_samples_the_pixel_that_it_is_seen_in(data):
    batch = first_batch(settings("implicit", data, None, "--model.inputs", "image", "normal_f", "normal_b"))
    with Stream(data, "views", "train", ["intrinsics", "world_from_camera"], batch_size=15) as cameras:
        camera = cameras.get(batch["key"])
    rows, columns = torch.tensor([3, 10, 16, 25]), torch.tensor([12, 20, 7, 16])
    scale = torch.linalg.inv(camera["intrinsics"].double())
    pixels = torch.stack([columns + 0.5, rows + 0.5, torch.ones(4)], -1).double()
    plane = pixels @ scale.mT  # x, y of an orthographic camera; the third is its depth here
    plane[..., 2] = torch.tensor([1.5, 2.0, 2.2, 2.6])
    world = camera["world_from_camera"].double()
    points = (plane @ world[:, :3, :3].mT + world[:, None, :3, 3]).float()
    found = seen_at(data, batch, points, inputs=("normal_f",), geometry=("z",))
    wanted = batch["normal_f"][:, rows, columns].float() * torch.tensor([1.0, -1.0, -1.0])
    torch.testing.assert_close(found[:, :3].mT, wanted, atol=2e-3, rtol=0)
    assert wanted.abs().sum((1, 2)).min() > 0.5, "there is something to see"
    torch.testing.assert_close(found[:, 3], (2 - plane[..., 2].float()) / people.HALF, atol=1e-5, rtol=0)


def test_points_inside_are_seen_inside_the_mask(data):
    batch = first_batch(settings("implicit", data, None, "--model.inputs", "image", "normal_f", "normal_b"))
    shown = batch | {"image": torch.full_like(batch["image"], 255)}
    found = seen_at(data, shown, batch["subject.points"], inputs=("image",), geometry=("z",))
    deep = batch["subject.sdf"] < -0.05
    assert deep.sum() > 20 and (found[:, 0][deep] > 0.9).float().mean() > 0.95


def test_features_of_the_body_when_evaluated_are_those_of_the_stream(data):
    chosen = ("sdf", "cmap", "norm", "vis", "part")
    fields = ["calib", "body_visible", "subject.body_vertices", "subject.points",
              *(f"subject.body_{name}" for name in ("face", "bary", "sdf", "normals"))]  # fmt: skip
    transforms = [load_transform("pick_body", body=0), load_transform("icon_features", features=chosen, drop=False)]
    with Stream(data, "views", "val", fields, batch_size=2, sample={"subject.points": 500}, transforms=transforms,
                order="sequential") as opened:  # fmt: skip
        batch = next(iter(opened))
    arrays = dict(np.load(io.BytesIO((data / "assets" / "body.npz").read_bytes())))
    for row in range(2):
        names = ("subject.body_vertices", "subject.body_normals", "body_visible", "calib")
        given = [batch[name][row].numpy() for name in names]
        body = body_surface(given[0], arrays["faces"])
        found = BodyQuery(body, *given[1:], arrays, chosen)(batch["subject.points"][row])
        for name in ("sdf", "cmap", "norm"):
            stored = batch[f"icon_{name}"][row]
            assert (found[f"icon_{name}"][0] - stored).abs().max() < 0.03, name
            assert stored.std() > 0.05, name
        assert (found["icon_vis"][0] == batch["icon_vis"][row]).float().mean() > 0.97
        assert (found["icon_part"][0] == batch["icon_part"][row]).float().mean() > 0.95
        assert 0.1 < batch["icon_vis"][row].mean() < 0.9


def test_validation_looks_at_the_fit_and_draws_the_same_each_time(data):
    config = variant(data, body="random", sdf_noise=0.02)
    with stream(config, "val", 6, look=True) as opened:
        one, two = next(iter(opened)), next(iter(opened))
    assert one["key"] == two["key"] and torch.equal(one["icon_sdf"], two["icon_sdf"])
    with stream(replace(config, model=replace(config.model, body="fit", sdf_noise=0.0)), "val", 6, look=True) as opened:
        torch.testing.assert_close(next(iter(opened))["icon_sdf"], one["icon_sdf"])
    with stream(config, "train", 15) as opened:
        epochs = [next(iter(opened)) for _ in range(2)]
    rows = [dict(zip(x["key"], x["icon_sdf"], strict=True)) for x in epochs]
    assert all(not torch.equal(rows[0][key], rows[1][key]) for key in rows[0])


def test_overfitting_trains_and_validates_on_the_same_few(data):
    from tessera.training.streams import open_streams

    config = replace(settings("normals", data, None), data=DataConfig(str(data), batch=2, overfit=2))
    source = open_streams(load_engine("normals"), config)
    assert source.val is not None
    assert sorted(key for batch in source.train for key in batch["key"]) == ["0000-000", "0000-090"]
    assert sorted(key for batch in source.val for key in batch["key"]) == ["0000-000", "0000-090"]
