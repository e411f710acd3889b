"""Ray: one run over several Ray Train workers, and several runs as tasks. Ray is imported only when asked for."""

import contextlib
import logging
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..datasets.checkout import guard_import_path
from ..datasets.errors import TesseraError, UsageError
from ..datasets.plain import printable
from .config import RunConfig
from .sweep import Job, Runner, execute

TIME = len("2026-01-01 00:00:00 ")  # before each line of log.txt


@contextlib.contextmanager
def started(workers: int, gpus: int = 0) -> Iterator[None]:
    """A local Ray with so many CPUs, or the cluster that RAY_ADDRESS names; ended afterwards.

    Args:
        workers, gpus: that are needed at once.

    Raises:
        TesseraError: Ray is not installed, cannot be started, or has too little for the workers.
    """
    try:
        import ray
    except ImportError as error:
        raise TesseraError("--ray: Ray is not installed (pip install 'ray[train]'); leave --ray out") from error
    address, before = os.environ.get("RAY_ADDRESS"), signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    local: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address or "local", logging_level=logging.ERROR, log_to_driver=False, **local)
    except Exception as error:  # Ray's own are of many kinds
        what = f"RAY_ADDRESS {address}: cannot be joined" if address else "Ray cannot be started"
        raise TesseraError(f"{what} ({type(error).__name__}: {error}); without --ray it is not needed") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own prints a crash dump
    try:
        _check_room(ray.cluster_resources(), workers, gpus)
        yield
    finally:
        ray.shutdown()


def _check_room(there: dict[str, float], workers: int, gpus: int) -> None:
    cpus, cards = there.get("CPU", 0), there.get("GPU", 0)
    if cpus < workers or cards < gpus:  # Ray would wait for more for ever
        raise UsageError(f"--ray {workers}: wants {workers} CPUs, {gpus} GPUs; Ray has {cpus:.0f}, {cards:.0f}")


def tasks_on_ray(jobs: Sequence[Job], at_once: int, run: Runner = execute) -> Iterator[tuple[Job, int]]:
    """Jobs as Ray tasks, so many at once; each with its exit status as it ends.

    Raises:
        TesseraError: see `started`.
    """
    with started(at_once, max((job.gpus for job in jobs), default=0)):
        import ray

        waiting, flying = list(jobs), dict[Any, Job]()
        while waiting or flying:
            while waiting and len(flying) < at_once:
                job = waiting.pop(0)
                task = ray.remote(num_cpus=1, num_gpus=job.gpus, max_retries=0)(_task)
                flying[task.remote(run, replace(job, folder=job.folder.absolute()), os.getcwd())] = job
            (done, *_), _ = ray.wait(list(flying), num_returns=1)
            job, status = flying.pop(done), 1
            with contextlib.suppress(ray.exceptions.RayError):  # the worker died, or could not start the command
                status = int(ray.get(done))
            yield job, status


def _task(run: Runner, job: Job, folder: str) -> int:
    guard_import_path()
    os.chdir(folder)
    return run(job, ())


def train_on_ray(config: RunConfig, arguments: list[str]) -> int:
    """Train in `config.train.ray` Ray Train workers, which share the work of each step as torchrun's processes do.

    Args:
        config: the settings; `batch` is that of each worker.
        arguments: what was typed, to be kept in the run's folder.

    Returns:
        An exit status, see `fit.train`, which also says what is raised; so does `started`.
    """
    config.check()
    workers, out, device = config.train.ray, config.train.out, config.train.device
    if out is None:
        raise UsageError(f"--ray {workers}: give --out, the folder of the run, which all workers reach")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: Ray chooses the cards; auto, cpu or cuda")
    with started(workers, workers if device == "cuda" else 0), _followed(out / "log.txt"):
        import ray
        from ray.train import FailureConfig, ScalingConfig
        from ray.train import RunConfig as RayRunConfig
        from ray.train.torch import TorchTrainer

        cards = device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= workers)
        stop = out.absolute() / "ray" / "stop"
        stop.parent.mkdir(parents=True, exist_ok=True)
        told = {"config": pickle.dumps(config), "arguments": arguments, "folder": os.getcwd(), "cards": cards,
                "stop": stop}  # fmt: skip
        kept = RayRunConfig(name="ray", storage_path=str(out.absolute()), failure_config=FailureConfig(max_failures=0))
        trainer = TorchTrainer(cast(Any, _worker), train_loop_config=told, run_config=kept,
                               scaling_config=ScalingConfig(num_workers=workers, use_gpu=cards))  # fmt: skip
        return _fit(trainer, stop)


def _fit(trainer: Any, stop: Path) -> int:
    """The exit status of a run. Ctrl-C and SIGTERM ask the workers for a checkpoint and an end; a second one is an end.

    Ray would take Ctrl-C itself and exit with status 0; in a thread it does not.
    """
    ended, over = list[Any](), threading.Event()

    def fit() -> None:
        try:
            ended.append(int(trainer.fit().return_value or 0))
        except BaseException as error:
            ended.append(_cause(error))
        finally:
            over.set()

    thread, before = threading.Thread(target=fit, daemon=True), signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stop.unlink(missing_ok=True)
    try:
        thread.start()
        over.wait()  # a thread that is joined counts as ended when a signal comes
    except KeyboardInterrupt:
        stop.touch()
        over.wait()
    finally:
        stop.unlink(missing_ok=True)
        signal.signal(signal.SIGTERM, before)
    if isinstance(ended[0], TesseraError):
        raise ended[0]
    return int(ended[0])


def _cause(error: BaseException) -> TesseraError:
    """What went wrong in a worker: the first of our own errors, else what Ray says."""
    for one in getattr(error, "worker_failures", {}).values():
        found: Any = one
        while found is not None and not isinstance(found, TesseraError):
            found = getattr(found, "_base_exc", None) or getattr(found, "cause", None) or found.__cause__
        if found is not None:
            return found  # type: ignore[no-any-return]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return TesseraError(f"a Ray worker failed: {lines[-1] if lines else repr(error)}; its log is below /tmp/ray")


def _worker(told: dict[str, Any]) -> int:
    """Train in a Ray Train worker: its process group is there, and its place is in torchrun's variables."""
    guard_import_path()
    os.chdir(told["folder"])
    sys.argv = ["tessera", *told["arguments"]]
    os.environ["GROUP_RANK"] = os.environ["NODE_RANK"]
    os.environ["TORCHELASTIC_RUN_ID"] = "ray"  # Lightning then believes these variables, also inside SLURM
    config: RunConfig = pickle.loads(told["config"])
    from . import fit

    class StopFile(fit.Signals):
        """A file instead of signals: Ray calls this function in a thread, which can take none."""

        def on_train_start(self, trainer: Any, engine: Any) -> None:
            """Take no signals."""

        def on_train_batch_end(self, trainer: Any, engine: Any, outputs: Any, batch: Any, index: int) -> None:
            """Save and stop where the file is there, on all processes at the same step."""
            if trainer.is_global_zero and told["stop"].exists():
                self.caught = signal.SIGTERM
            super().on_train_batch_end(trainer, engine, outputs, batch, index)

    fit.Signals = StopFile  # type: ignore[misc]
    cores = max(1, len(os.sched_getaffinity(0)) // int(os.environ["LOCAL_WORLD_SIZE"]))
    device = config.train.device if config.train.device != "auto" else "cuda" if told["cards"] else "cpu"
    settings = replace(config.train, cpu_threads=config.train.cpu_threads or cores, device=device)
    data = replace(config.data, threads=config.data.threads or cores)
    return fit.train(replace(config, train=settings, data=data))[1]


@contextlib.contextmanager
def _followed(log: Path) -> Iterator[None]:
    """Print the lines that the run's log gets meanwhile, without their times."""
    ended, size = threading.Event(), log.stat().st_size if log.is_file() else 0

    def follow(place: int) -> None:
        last = False
        while not last:
            last = ended.wait(0.5)
            if log.is_file():
                with log.open("rb") as stream:
                    stream.seek(place)
                    whole = stream.read().rpartition(b"\n")[0]
                place += len(whole) + bool(whole)
                for line in whole.decode(errors="replace").splitlines():
                    print(printable(line[TIME:]), file=sys.stderr, flush=True)

    thread = threading.Thread(target=follow, args=(size,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
