"""The stand-in body models, written once for all tests."""

import shutil

import pytest
from tessera.pipelines.bodies.model import load_model, model_path
from tessera.pipelines.bodies.standin import write_stand_in
from tessera.pipelines.bodies.standin_smpl import write_stand_in_smpl


@pytest.fixture(scope="session")
def body_models(once):
    return once("body_models", write_stand_in)


@pytest.fixture(scope="session")
def body(body_models):
    return load_model(model_path(body_models, "male"))


@pytest.fixture(scope="session")
def smpl_models(once, body_models):
    """A folder with the stand-ins for SMPL-X and for SMPL."""

    def make(path):
        shutil.copytree(body_models, path)
        write_stand_in_smpl(path)

    return once("smpl_models", make)


@pytest.fixture(scope="session")
def smpl_body(smpl_models):
    return load_model(model_path(smpl_models, "male", "smpl"))
