"""The `tessera` command: verbs, exit statuses, one clear line per error and never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tessera import __version__
from tessera.cli import VERBS, run

RECIPES = Path(__file__).parent / "pipelines" / "toy_recipes"
SCRIPT = Path(sys.executable).with_name("tessera")


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RAW of the toy recipe; the working directory is the folder above it."""
    monkeypatch.setenv("TESSERA_RECIPES", str(RECIPES))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    for u in range(3):
        (tmp_path / "raw" / f"u{u:02d}.txt").write_text("x yy zzz")
    return tmp_path / "raw"


def tessera(*arguments: str, **settings: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=60, **settings)


def status(arguments: str) -> int:
    """Exit status of the verb, also where tyro raises it."""
    try:
        return run(arguments.split())
    except SystemExit as stopped:
        return int(stopped.code or 0)


SHARDS = "shards toy --raw raw --out out --workers 0"
ERRORS = [
    ("shards", 2, "tessera shards: name a recipe first (cape, houses, hypersim"),
    ("shards nope", 2, "tessera shards: no recipe 'nope' (recipes: cape, houses, hypersim"),
    ("shards toy --workers 0", 2, "tessera shards: recipe toy has no demo raw data; name the real ones with --raw"),
    ("shards toy --raw absent", 1, "tessera shards: absent: no such folder; --raw (RAW=) names the folder"),
    ("shards toy --raw empty --out out", 1, "tessera shards: the plan is empty"),
    ("shards toy --raw raw --out raw", 2, "tessera shards: --out raw and --raw raw lie in each other"),
    ("shards toy --raw raw --out raw/out", 2, "tessera shards: --out raw/out and --raw raw lie in each other"),
    ("shards toy --raw raw --out file", 2, "tessera shards: --out file is a file; name a folder"),
    ("shards toy --raw raw --out file/out", 1, "tessera shards: --out "),
    ("shards toy --raw raw --out /proc/x", 1, "tessera shards: --out /proc/x: FileNotFoundError"),
    (f"{SHARDS} --part 3/3", 2, "tessera shards: --part 3/3: parts of 3 are 0/3 to 2/3"),
    (f"{SHARDS} --part third", 2, "tessera shards: --part third: expected i/n, such as 0/3"),
    (f"{SHARDS} --limit -1", 2, "tessera shards: --limit: at least one record"),
    (f"{SHARDS} --retries -1", 2, "tessera shards: --retries must be a finite number, and not negative"),
    (f"{SHARDS} --without nonsense", 2, "tessera shards: no label 'nonsense' in recipe toy (labels: cube, square,"),
    (f"{SHARDS} --only zz*", 2, "tessera shards: --only 'zz*' matches none of 3 units (u00, u01, u02, ...)"),
    (f"{SHARDS} --scale inf", 2, "tessera shards: --scale inf: a finite number is needed"),
    ("info out", 1, "tessera info: out: no dataset.json here"),
    ("info file", 1, "tessera info: "),
    ("show out", 1, "tessera show: out: no dataset.json here"),
    ("verify out", 1, "tessera verify: out: no dataset.json here"),
    ("add-label", 2, "tessera add-label: name the data set's folder and a label first"),
    ("add-label out", 2, "tessera add-label: name the data set's folder and a label first"),
    ("add-label out cube --raw raw", 1, "tessera add-label: out: no dataset.json here"),
    ("bench nope", 2, "tessera bench: no benchmark 'nope' (benchmarks: "),
    ("try", 2, "tessera try: name a recipe first"),
    ("demo", 2, "tessera demo: name a recipe first"),
    ("demo toy", 2, "tessera demo: recipe toy has no demo raw data"),
    ("demo nope", 2, "tessera demo: no recipe 'nope'"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), ERRORS)
def test_errors_are_one_line_and_a_status(
    raw: Path, capsys: pytest.CaptureFixture[str], arguments: str, code: int, said: str
) -> None:
    (raw.parent / "empty").mkdir()
    (raw.parent / "file").write_text("")
    assert status(arguments) == code
    output = capsys.readouterr()
    (line,) = output.err.strip().splitlines()
    assert line.replace(f"{raw.parent.resolve()}/", "").startswith(said)  # RAW is named in full
    assert output.out == "" and not (raw.parent / "out" / "dataset.json").exists()


@pytest.mark.parametrize(
    "arguments", [f"{SHARDS} --workers two", f"{SHARDS} --scale x", f"{SHARDS} --nonsense", "info"]
)
def test_arguments_that_cannot_be_parsed(raw: Path, capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    assert status(arguments) == 2
    output = capsys.readouterr()
    assert "Traceback" not in output.err and "--help" in output.err and not (raw.parent / "out").exists()


def test_usage_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in ((["--help"], 0), (["help"], 0), ([], 2)):
        assert run(arguments) == code
        said = capsys.readouterr().out
        assert all(f"  {verb} " in said for verb in VERBS)
    assert run(["nope"]) == 2
    assert capsys.readouterr().err.startswith("tessera: no verb 'nope'\nusage: tessera VERB")
    assert run(["--version"]) == 0 and capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(raw: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    assert status(f"{verb} --help") == 0
    assert "usage: tessera" in capsys.readouterr().out


def test_a_data_set_from_build_to_picture(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(SHARDS) == 0
    assert "built 9 records in 2 of 2 groups" in capsys.readouterr().out
    assert status(SHARDS) == 0
    assert "nothing to do: 9 records are up to date" in capsys.readouterr().out
    assert status("verify out") == 0 and "0 problems" in capsys.readouterr().out
    assert status("info out") == 0
    said = capsys.readouterr().out
    assert "toy (complete), recipe toy" in said and "2 runs, 9 records labelled, 0 retries" in said
    (raw / "u01.txt").write_text("raise")
    assert status(SHARDS) == 1
    said = capsys.readouterr().out
    assert "more than --max-reject 0.05 of 3 units were rejected" in said and "told to raise" in said
    assert status(f"{SHARDS} --with cube") == 1
    assert "another schema in table numbers (cube differ); use another --out" in capsys.readouterr().err


def test_a_label_is_added_shown_and_kept(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(SHARDS) == 0
    assert status("add-label out cube --raw raw --workers 0") == 0
    assert "built cube for 9 records in 2 groups" in capsys.readouterr().out
    assert status("add-label out cube --raw raw --workers 0") == 0
    assert "nothing to do: label cube is there, 9 records are up to date" in capsys.readouterr().out
    assert status("info out") == 0
    said = capsys.readouterr().out
    assert "label cube (complete), version 1: added to numbers, 2 shards" in said and "│ cube " in said
    assert status("verify out") == 0 and "4 shards checked, 0 problems" in capsys.readouterr().out
    (raw / "u01.txt").write_text("x yy zzz wwww")
    assert status(SHARDS) == 0
    assert "groups, added labels for 7 records in 1 group:" in capsys.readouterr().out.replace("\n", " ")
    assert status("add-label out square --raw raw") == 2
    assert "has label square from the start" in capsys.readouterr().err
    assert status("add-label out cube") == 2 and "--raw" in capsys.readouterr().err


def test_damage_is_found_and_mended(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(SHARDS) == 0
    tar = Path("out/train/numbers-000000.tar")
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)
    capsys.readouterr()
    assert status("verify out") == 1
    assert "train/numbers-000000.parquet: tar: sha256 differs from its index" in capsys.readouterr().out
    tar.unlink()
    assert status(SHARDS) == 0 and status("verify out") == 0


@pytest.mark.parametrize("command", [[str(SCRIPT)], [sys.executable, "-m", "tessera"]])
def test_both_ways_to_start_it(raw: Path, command: list[str]) -> None:
    def call(arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*command, *arguments.split()], capture_output=True, text=True, timeout=60)

    good, bad = call("--version"), call("shards nope")
    assert (good.returncode, good.stdout, good.stderr) == (0, f"{__version__}\n", "")
    assert bad.returncode == 2 and bad.stderr.startswith("tessera shards: no recipe 'nope'") and not bad.stdout


def test_output_may_be_cut_off(raw: Path) -> None:
    """`tessera ls --markdown | head -1`."""
    with subprocess.Popen([SCRIPT, "ls", "--markdown"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 0 and said == b""


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from tessera.cli import run; run(['--help'])\n"
        "heavy = {'ray', 'torch', 'open3d', 'cv2', 'numpy', 'pyarrow', 'tyro', 'rich'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_listing_and_serial_runs_start_no_ray(raw: Path) -> None:
    code = (
        "import sys; from tessera.cli import run\n"
        f"run(['ls']); run({SHARDS.split()!r})\n"
        "heavy = {'ray', 'torch'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
