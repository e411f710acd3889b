"""Optimisers and schedules."""

from collections.abc import Iterable
from math import cos, pi
from typing import Any

import torch
from torch.nn import Parameter

from .config import OptimConfig


def make_optimizer(parameters: Iterable[Parameter], config: OptimConfig, planned: Any) -> dict[str, Any]:
    """What Lightning wants: an optimiser, and a schedule that moves at each step.

    Args:
        parameters: to be trained.
        config: settings.
        planned: has `steps_planned`, optimiser steps of the run, and `steps_an_epoch`.
    """
    some = list(parameters)
    made: torch.optim.Optimizer
    if config.name == "rmsprop":
        made = torch.optim.RMSprop(some, config.lr, weight_decay=config.weight_decay, momentum=config.momentum)
    elif config.name == "sgd":
        made = torch.optim.SGD(some, config.lr, weight_decay=config.weight_decay, momentum=config.momentum)
    else:
        kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
        made = kind(some, config.lr, betas=config.betas, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(made, lambda step: rate(step, config, planned))
    return {"optimizer": made, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate(step: int, config: OptimConfig, planned: Any) -> float:
    """Share of the learning rate at an optimiser step."""
    share = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "step":
        epoch = step / max(1, planned.steps_an_epoch)
        share *= config.gamma ** sum(epoch >= milestone for milestone in config.milestones)
    elif config.schedule == "cosine" and planned.steps_planned:
        share *= 0.5 * (1 + cos(pi * min(1.0, step / planned.steps_planned)))
    return share
