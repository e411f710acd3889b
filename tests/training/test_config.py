"""Settings: presets, changed by a file, changed by the command line; kept as YAML; wrong ones are refused by name."""

import dataclasses
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tessera.cli import run
from tessera.commands.train import main, parse
from tessera.datasets.errors import FormatError, TesseraError, UsageError
from tessera.training.config import DataConfig, OptimConfig, RunConfig, TrainConfig
from tessera.training.config_yaml import from_plain, read_yaml, to_plain, to_yaml
from tessera.training.discover import engine_names, load_engine
from tessera.training.runfolder import new_folder, read_config

from .runs import go, settings

PRESETS = [(engine, preset) for engine in engine_names() for preset in load_engine(engine).presets]
SURFACE = """
    --accumulate --batch --betas --cache --clip --compile --no-compile --cpu-threads --data --device --ema
    --freeze --gamma --init-from --log-every --lr --max-epochs --max-steps --milestones --momentum --name
    --pictures --no-pictures --order --out --overfit --patience --precision --profile --no-profile --ray --resume
    --no-resume --save-every --schedule --seed --split --threads --val-batches --val-every --val-split --warmup
    --weight-decay
"""  # of every engine; what is the engine's own begins with --model


def preset(engine: str, name: str) -> RunConfig:
    return load_engine(engine).presets[name].config(engine, name, "out/people")


@pytest.mark.parametrize(("engine", "name"), PRESETS)
def test_presets_survive_yaml(engine, name, tmp_path):
    config = preset(engine, name)
    config.check()
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert read_config(tmp_path / "config.yaml") == config
    assert from_plain(RunConfig, yaml.safe_load(to_yaml(config)), preset(engine, name)) == config


def test_yaml_is_plain_and_all_is_in_it():
    config = dataclasses.replace(preset("implicit", "icon"), train=TrainConfig(out=Path("runs/a"), cpu_threads=2))
    values = yaml.safe_load(to_yaml(config))
    assert values == to_plain(config)
    assert {*values["train"]} == {x.name for x in dataclasses.fields(TrainConfig)}
    assert values["train"]["out"] == "runs/a" and values["model"]["inputs"] == ["image", "normal_f", "normal_b"]


@pytest.mark.parametrize(("text", "message"), [
    ("optim: {speed: 3}", r"optim\.speed: no such setting; there are accumulate, betas"),
    ("colour: red", r"colour: no such setting; there are data, engine"),
    ("optim: {lr: fast}", r"optim\.lr: 'fast' is not float"),
    ("data: {batch: 2.5}", r"data\.batch: '2\.5' is not int"),
    ("data: {batch: true}", r"data\.batch: 'True' is not int"),
    ("train: {compile: 1}", r"train\.compile: '1' is not bool"),
    ("optim: {name: adagrad}", r"optim\.name: 'adagrad' is not one of rmsprop, adam, adamw, sgd"),
    ("optim: {betas: [0.9]}", r"optim\.betas: 1 values, not 2"),
    ("optim: {milestones: [a]}", r"optim\.milestones\[0\]: 'a' is not int"),
    ("model: {inputs: [image, smell]}", r"model\.inputs\[1\]: 'smell' is not one of image"),
    ("train: 3", r"train.*no mapping of settings"),
    ("data: {threads: none}", r"data\.threads: 'none' is not int"),
])  # fmt: skip
def test_a_wrong_setting_is_named(text, message, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(FormatError, match=message):
        parse(load_engine("implicit"), ["--config", str(tmp_path / "config.yaml"), "--data", "x"])


def test_yaml_runs_nothing(tmp_path):
    (tmp_path / "config.yaml").write_text(f"a: !!python/object/apply:os.mkdir [{tmp_path / 'canary'}]")
    with pytest.raises(FormatError, match="no YAML"):
        read_yaml(tmp_path / "config.yaml")
    assert not (tmp_path / "canary").exists()


def test_whole_numbers_are_floats_too_and_none_is_none():
    assert from_plain(OptimConfig, {"lr": 1}) == OptimConfig(lr=1.0)
    assert from_plain(DataConfig, {"data": "x", "threads": None}) == DataConfig("x")


def test_the_command_line_changes_a_preset_and_nothing_else():
    spec = load_engine("implicit")
    found = parse(spec, ["--preset", "pifu", "--data", "x", "--model.norm", "group", "--optim.lr", "0.5", "--batch=7"])
    base = spec.presets["pifu"].config("implicit", "pifu", "x")
    expected = dataclasses.replace(
        base, data=dataclasses.replace(base.data, batch=7), model=dataclasses.replace(base.model, norm="group"),
        optim=dataclasses.replace(base.optim, lr=0.5),
    )  # fmt: skip
    assert found == expected != base


def test_a_file_changes_a_preset_and_the_command_line_changes_the_file(tmp_path):
    (tmp_path / "c.yaml").write_text("preset: pifu\noptim: {lr: 0.25, clip: 2.0}\nmodel: {stacks: 1}\n")
    found = parse(load_engine("implicit"), ["--config", str(tmp_path / "c.yaml"), "--data", "x", "--optim.clip", "3"])
    assert (found.preset, found.optim.lr, found.optim.clip, found.model.stacks) == ("pifu", 0.25, 3.0, 1)
    assert found.model.features == 256 and found.data.data == "x"


def test_the_settings_of_a_run_give_the_same_run(data, tmp_path):
    go("normals", data, tmp_path / "one", "--max-epochs", 1, "--seed", 4)
    file = str(tmp_path / "one" / "config.yaml")
    again = parse(load_engine("normals"), ["--config", file])
    kept = read_config(Path(file))
    assert again == replace(kept, train=replace(kept.train, out=None))  # in a folder of its own
    assert read_config(Path(file)) == settings("normals", data, tmp_path / "one", "--max-epochs", 1, "--seed", 4)


def test_settings_of_another_engine_are_refused(tmp_path):
    (tmp_path / "c.yaml").write_text("engine: implicit\n")
    with pytest.raises(UsageError, match="settings of engine implicit, not of normals"):
        parse(load_engine("normals"), ["--config", str(tmp_path / "c.yaml"), "--data", "x"])


def test_unknown_engines_and_presets_are_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"no engine 'icon' \(engines: .*implicit, .*normals"):
        load_engine("icon")
    with pytest.raises(UsageError, match=r"no preset 'icn' \(presets: icon, .*pifu-tiny"):
        parse(load_engine("implicit"), ["--preset", "icn", "--data", "x"])


@pytest.mark.parametrize(("option", "value"), [
    ("--batch", 0), ("--max-epochs", 0), ("--max-steps", -1), ("--log-every", 0), ("--optim.lr", 0),
    ("--optim.ema", 1), ("--optim.clip", -1), ("--optim.accumulate", 0), ("--patience", -1), ("--overfit", -1),
    ("--val-batches", -1), ("--cpu-threads", 0), ("--threads", -1),
])  # fmt: skip
def test_values_out_of_range_are_refused_by_name(option, value, data, tmp_path):
    with pytest.raises(UsageError, match=option.lstrip("-")):
        go("normals", data, tmp_path / "run", option, value)


@pytest.mark.parametrize("words", [["--model.shape", "u"], ["--model.width", 15], ["--model.stacks", 0]])
def test_layers_that_do_not_fit_are_refused_in_one_line(words, data, tmp_path):
    with pytest.raises(UsageError, match="--model: "):
        go("implicit", data, tmp_path / "run", "--model.hidden", 8, 8, *words)


@pytest.mark.parametrize(("device", "precision", "message"), [
    ("cuda:99", "fp32", "cuda:99"), ("gpu", "fp32", "auto, cpu, cuda"), ("cpu", "fp16", "only on a GPU"),
])  # fmt: skip
def test_a_device_that_is_not_there_is_refused(device, precision, message, data, tmp_path):
    with pytest.raises(UsageError, match=message):
        go("normals", data, tmp_path / "run", "--device", device, "--precision", precision)


def help_of(engine: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([engine, "--help"])
    assert ended.value.code == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


@pytest.mark.parametrize("engine", engine_names())
def test_help_has_every_setting_and_every_preset(engine, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said, spec = help_of(engine, capsys), load_engine(engine)
    model = next(iter(spec.presets.values())).model
    for name in (x.name.replace("_", "-") for x in dataclasses.fields(model)):
        assert re.search(rf"--model\.(no-)?{name}\b", said), name
    assert all(name in said for name in spec.presets)
    found = {f"--{x}" for x in re.findall(r"--(?:optim\.)?((?!model\.|preset|config|help)[a-z][a-z-]*)", said)}
    assert found - {"--with"} == set(SURFACE.split())


def test_the_verb_without_an_engine_names_them(capsys):
    assert run(["train"]) == 2
    assert "name an engine first" in capsys.readouterr().err
    assert run(["train", "--help"]) == 0


def test_folders_of_runs_are_numbered(tmp_path):
    assert new_folder("implicit", "icon", tmp_path).name == "implicit-icon-001"
    for name in ("implicit-icon-001", "implicit-icon-tiny-007", "implicit-icon-004", "implicit-icon-x"):
        (tmp_path / name).mkdir()
    assert new_folder("implicit", "icon", tmp_path).name == "implicit-icon-005"
    with pytest.raises(TesseraError):
        read_config(tmp_path / "config.yaml")


def test_a_run_that_goes_on_has_its_own_settings(tmp_path):
    spec = load_engine("implicit")
    first = parse(spec, ["--preset", "icon-tiny", "--data", "d", "--model.points", "77", "--out", str(tmp_path)])
    (tmp_path / "config.yaml").write_text(to_yaml(first))
    again = parse(spec, ["--out", str(tmp_path), "--resume", "--max-steps", "9"])
    assert (again.model, again.data, again.optim) == (first.model, first.data, first.optim)
    assert again.train.resume and again.train.out == tmp_path and again.train.max_steps == 9
