"""`tessera train ENGINE`: train an engine from shards."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..datasets.errors import UsageError
from ..training.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from ..training.config_yaml import from_plain, read_yaml
from ..training.discover import load_engine, preset_config
from ..training.engine import EngineSpec
from ..training.fit import train
from ..training.names import engine_names
from .console import progress_console
from .first_word import first_word


def parse(spec: EngineSpec, arguments: list[str]) -> RunConfig:
    """A run's settings: those of the preset, changed by a YAML file, changed by the command line.

    Raises:
        UsageError: there is no such preset, or no data set was named.
    """
    name, rest = _taken(arguments, "--preset")
    file, rest = _taken(rest, "--config")
    if "--resume" in rest and not name and not file:
        file = _settings_of_run(rest)
    values = read_yaml(Path(file)) if file else {}
    if values.get("engine", spec.name) != spec.name:
        raise UsageError(f"{file}: settings of engine {values['engine']}, not of {spec.name}")
    name = preset_config(spec, name or str(values.get("preset") or ""))
    base = spec.presets[name].config(spec.name, name, "")
    if values:
        changes = {k: v for k, v in values.items() if k not in ("engine", "preset")}
        if isinstance(changes.get("train"), dict):  # a new run has a folder of its own, and begins
            changes["train"] = {k: v for k, v in changes["train"].items() if k not in ("out", "resume")}
        base = from_plain(RunConfig, changes, base, f"{file}: ")
    return _command_line(spec, base, rest)


def _command_line(spec: EngineSpec, base: RunConfig, arguments: list[str]) -> RunConfig:
    def run(
        data: Annotated[DataConfig, tyro.conf.arg(name="")],
        train: Annotated[TrainConfig, tyro.conf.arg(name="")],
        model: Any,
        optim: OptimConfig,
    ) -> RunConfig:
        return replace(base, data=data, train=train, model=model, optim=optim)

    run.__annotations__["model"] = type(base.model)
    presets = "\n".join(f"{name}: {preset.summary}" for name, preset in spec.presets.items())
    run.__doc__ = f"""{spec.summary}

    --preset NAME begins from a preset (here {base.preset}), --config FILE from the settings of another run; what is
    given beside them goes first. Presets:

    {presets.replace(chr(10), chr(10) + chr(10) + "    ")}

    Args:
        data: where records come from.
        train: the run.
        model: the network.
        optim: optimiser and schedule.
    """
    run.__defaults__ = (base.data if base.data.data else tyro.MISSING, base.train, base.model, base.optim)
    if not base.data.data:
        run.__defaults__ = (replace(base.data, data=tyro.MISSING), base.train, base.model, base.optim)
    return tyro.cli(run, prog=f"tessera train {spec.name}", args=arguments)


def _settings_of_run(arguments: list[str]) -> str:
    """The settings of the run in --out, which goes on with them; none where there is no run."""
    path = Path(_taken(arguments, "--out")[0]) / "config.yaml"
    return str(path) if path.is_file() else ""


def _taken(arguments: list[str], option: str) -> tuple[str, list[str]]:
    """The value of an option that is read before all others, and the arguments without it.

    Raises:
        UsageError: it has no value.
    """
    for number, word in enumerate(arguments):
        if word == option:
            if number + 1 == len(arguments):
                raise UsageError(f"{option}: which?")
            return arguments[number + 1], arguments[:number] + arguments[number + 2 :]
        if word.startswith(f"{option}="):
            return word.partition("=")[2], arguments[:number] + arguments[number + 1 :]
    return "", arguments


def main(arguments: list[str]) -> int:
    """Run the verb."""
    more = "`tessera train ENGINE --help` lists the presets and all options."
    name = first_word(arguments, "engine", engine_names(), "train ENGINE --data DIR [--preset NAME] [options]", more)
    if name is None:
        return 0
    spec = load_engine(name)
    config = parse(spec, arguments[1:])
    if config.train.ray:
        from ..training.ray_train import train_on_ray

        return train_on_ray(config, sys.argv[1:])
    return train(config, progress_console())[1]
