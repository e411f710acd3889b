"""A trained run, loaded to be used."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..datasets.assets import Assets
from ..datasets.catalog import Catalog
from ..datasets.errors import UsageError
from ..datasets.stream import open_files
from .config import RunConfig
from .devices import find_place
from .discover import load_engine
from .engine import Engine, EngineSpec
from .provenance import Provenance, check_fits, trained_on
from .runfolder import RunFolder, read_config
from .streams import check_fields, read_catalog, with_data
from .weights import read_checkpoint


@dataclass(frozen=True)
class Trained:
    """A run's network and what it is.

    Attributes:
        folder: of the run.
        checkpoint: whose weights these are.
        step: at which it was saved.
        config: settings; `data` is what it is to be used on.
        spec: the engine.
        engine: the network, not in training.
        trained: what it was trained on.
        catalog: of the data set that it is used on; None for pictures of one's own.
        device: where it is.
    """

    folder: RunFolder
    checkpoint: Path
    step: int
    config: RunConfig
    spec: EngineSpec
    engine: Engine
    trained: Provenance
    catalog: Catalog | None
    device: torch.device

    def picture_size(self) -> int:
        """Pixels of a side of the pictures that it was trained on, before its own reduction.

        Raises:
            UsageError: the run does not say it.
        """
        size = self.folder.summary().get("picture_size")
        if not isinstance(size, int) or size < 1:
            raise UsageError(f"{self.folder.path}: does not say how large the pictures were that it was trained on")
        return size

    def assets(self) -> Assets:
        """What all records of the data set share."""
        assert self.catalog is not None
        _, files, _ = open_files(self.config.data.data, self.config.data.cache, 64 << 30)
        return Assets(self.catalog, files)


def load_trained(
    run: Path, data: str | None, checkpoint: str = "best", device: str = "auto", cache: Path | None = None
) -> Trained:
    """Load a run.

    Args:
        run: its folder.
        data: data set that it is used on; None for none.
        checkpoint: best, last, or a file.
        device: as for training.
        cache: folder of the cache of remote shards.

    Raises:
        UsageError: no such run or checkpoint, or the data set does not go with it.
        FormatError: the checkpoint is damaged.
    """
    folder = RunFolder(run)
    config = read_config(run / "config.yaml")
    spec = load_engine(config.engine)
    path = _checkpoint(folder, checkpoint)
    state = read_checkpoint(path)
    trained = trained_on(state, path)
    catalog = None
    if data is not None:
        config = with_data(config, data, cache)
        catalog = read_catalog(config.data)
        asked = spec.request(config.model, catalog, False)
        check_fields(catalog, asked, spec.name)
        check_fits(trained, catalog, asked, str(run))
    place = find_place(device, "fp32")
    engine = spec.build(replace(config), catalog)
    weights(engine, state)
    return Trained(folder, path, int(state["global_step"]), config, spec, engine.to(place.torch_device).eval(), trained,
                   catalog, place.torch_device)  # fmt: skip


def weights(engine: Engine, state: dict[str, Any]) -> None:
    """Give an engine the weights of a checkpoint, the averaged ones where there are such.

    Raises:
        UsageError: they are of another network.
    """
    found = state["state_dict"]
    try:
        engine.load_state_dict(found)
    except RuntimeError as error:
        raise UsageError(f"the checkpoint is of another network: {str(error)[:300]}") from error


def _checkpoint(folder: RunFolder, name: str) -> Path:
    if name == "best":
        return folder.chosen()
    path = folder.last if name == "last" else Path(name)
    if not path.is_file():
        raise UsageError(f"{path}: no such checkpoint; --checkpoint is best, last, or a file")
    return path
