"""Normals of clothed people, front and back, from one picture and the body's normals."""

from ...config import OptimConfig
from ...engine import EngineSpec, Preset
from .config import NormalsConfig
from .engine import NormalsEngine, request
from .evaluate import evaluate
from .predict import predict

ENGINE = EngineSpec(
    name="normals",
    summary="front and back normals of clothed people from one picture, as ICON trains them",
    presets={
        "icon": Preset(NormalsConfig(), OptimConfig(lr=1e-4, schedule="step", milestones=(18,)), {"batch": 4},
                       {"max_epochs": 20}, "two pix2pixHD generators of 64 channels, smooth L1"),
        "tiny": Preset(NormalsConfig(size=128, filters=16, downs=2, blocks=3, angle=1.0),
                       OptimConfig(lr=2e-3, schedule="cosine", clip=1.0), {"batch": 2},
                       {"max_epochs": 1000, "max_steps": 800, "val_every": 200, "save_every": 200},
                       "for two CPU cores"),
    },
    request=request,
    build=NormalsEngine,
    evaluate=evaluate,
    predict=predict,
)  # fmt: skip
