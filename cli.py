"""The `tessera` command: finds the verb's module, imports only that, and turns errors into one line."""

import importlib
import os
import sys

VERBS = {
    "shards": "raw data to shards",
    "try": "a contact sheet of a sample, and the full run's plan",
    "demo": "write demo raw data in the exact raw layout",
    "ls": "recipes, their labels and options",
    "info": "what a data set holds: records, splits, bytes by field, time by stage, rejects",
    "show": "records as pictures",
    "stream": "streaming rate of a data set, as a training loop sees it",
    "verify": "check every checksum of a data set",
    "add-label": "one more label for a finished data set",
    "index": "serve plain WebDataset tars that others wrote",
    "train": "train an engine from shards",
    "eval": "figures of a trained run on a data set",
    "predict": "meshes or pictures from pictures, by a trained run",
    "compare": "a table of several runs",
    "sweep": "a list of runs, one after another or on Ray, and their table",
    "bench": "side-by-side measurements",
}
GOES_ON = ("shards", "add-label", "sweep")  # what they have done is kept
TRAINING = ("train", "eval", "predict", "sweep")


def usage() -> str:
    """The list of verbs."""
    lines = [f"  {name:<9} {text}" for name, text in VERBS.items()]
    return "usage: tessera VERB ...\n\n" + "\n".join(lines) + "\n\n`tessera VERB --help` tells more."


def prepare_process(one_thread: bool = True) -> None:
    """Set up this process before anything heavy is imported: one compute thread, and no checkout on the path.

    Networks are trained with as many threads as there are cores.

    A path that holds the checkout's root would show our `datasets/` under the name of Hugging Face's package.
    """
    from .datasets.checkout import guard_import_path
    from .pipelines.limits import one_thread_environment

    guard_import_path()
    for name, value in one_thread_environment().items() if one_thread else ():
        os.environ[name] = value


def main() -> None:
    """Entry point: exit status 0, 1 for failed work, 2 for bad arguments, 130 when interrupted."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one verb with its arguments; returns the exit status."""
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if verb == "--version":
        from . import __version__

        print(__version__)
        return 0
    if verb not in VERBS:
        print(f"tessera: no verb {verb!r}\n{usage()}", file=sys.stderr)
        return 2
    prepare_process(one_thread=verb not in TRAINING)
    from .datasets.errors import TesseraError, UsageError
    from .datasets.plain import printable

    module = "trial" if verb == "try" else verb.replace("-", "_")  # a module cannot be called `try`
    try:
        status = int(importlib.import_module(f".commands.{module}", __package__).main(arguments[1:]) or 0)
        sys.stdout.flush()  # here, where a reader that has gone is no error, and not when the interpreter ends
        return status
    except UsageError as error:
        print(f"tessera {verb}: {printable(str(error))}", file=sys.stderr)
        return 2
    except TesseraError as error:
        print(f"tessera {verb}: {printable(str(error))}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "tessera":
            raise
        print(f"tessera {verb}: {error.name} is not installed; `make setup` installs it", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader of our output has gone; nothing is wrong
        return 0
    except OSError as error:
        print(f"tessera {verb}: {type(error).__name__}: {printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        more = "; the same command goes on from here" if verb in GOES_ON else ""
        print(f"tessera {verb}: interrupted{more}", file=sys.stderr)
        return 130
