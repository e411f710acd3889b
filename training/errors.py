"""Failures of a training run."""

from ..datasets.errors import TesseraError


class TrainingError(TesseraError):
    """The run cannot go on: a loss that is no number, a checkpoint that cannot be written, no step at all."""
