"""The stand-in body model, written once for all tests."""

import pytest
from tessera.pipelines.bodies.model import load_model, model_path
from tessera.pipelines.bodies.standin import write_stand_in


@pytest.fixture(scope="session")
def body_models(once):
    return once("body_models", write_stand_in)


@pytest.fixture(scope="session")
def body(body_models):
    return load_model(model_path(body_models, "male"))
