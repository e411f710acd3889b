"""A training loop for torchrun that logs the records of each step, saves its state, and may kill itself.

torchrun --nproc-per-node 2 plain.py ROOT STATE.json LOG EPOCHS KILL_AT
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch.distributed as dist
from tessera.datasets import Stream

SAVE_EVERY, BATCH, SEED = 3, 4, 7


def main(root: str, saved: Path, log: Path, epochs: int, kill_at: int) -> None:
    """Train; from the saved state where there is one."""
    dist.init_process_group("gloo")
    rank, step = dist.get_rank(), 0
    stream = Stream(root, fields=["number"], batch_size=BATCH, seed=SEED, threads=2)
    if saved.exists():
        stream.load_state_dict(json.loads(saved.read_text()))
    with log.with_suffix(f".{rank}").open("w") as out:
        while (epoch := stream.state_dict()["epoch"]) < epochs:
            for batch in stream:
                values = [batch["number"].tolist(), batch["repeat"].tolist()]
                after = stream.state_dict()
                print(json.dumps([epoch, after["epoch"], after["position"], *values]), file=out, flush=True)
                step += 1
                dist.barrier()
                if rank == 0 and step % SAVE_EVERY == 0:
                    half = saved.with_suffix(".half")
                    half.write_text(json.dumps(after))
                    half.rename(saved)
                if step == kill_at and rank == dist.get_world_size() - 1:
                    os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
