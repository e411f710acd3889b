"""Clothed people as implicit fields, from one picture: PIFu, PaMIR, ICON and their variants."""

from ...engine import EngineSpec
from .engine import ImplicitEngine
from .evaluate import evaluate
from .predict import predict
from .presets import PRESETS
from .request import request

ENGINE = EngineSpec(
    name="implicit",
    summary="clothed people from one picture as an implicit field: PIFu, PaMIR, ICON and variants",
    presets=PRESETS,
    request=request,
    build=ImplicitEngine,
    evaluate=evaluate,
    predict=predict,
)
