"""Occupancy scores against scikit-learn's, over batches and processes."""

import json
import subprocess
import sys

import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score, precision_score, recall_score
from tessera.validation.metrics.occupancy import OccupancyScores

KNOWN = {"accuracy": accuracy_score, "iou": jaccard_score, "precision": precision_score, "recall": recall_score}


def batches(seed, count=5):
    generator = torch.Generator().manual_seed(seed)
    for k in range(count):
        truth = torch.rand(2, 100 + k, generator=generator) > 0.6
        noise = torch.rand(2, 100 + k, generator=generator)
        yield 0.6 * noise + 0.4 * truth, truth, torch.rand(2, 100 + k, generator=generator) > 0.3


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("masked", [False, True])
def test_scores_over_batches_are_scikit_learns_of_all_points(threshold, masked):
    scores = OccupancyScores(threshold)
    said, real = [], []
    for predicted, truth, mask in batches(0):
        scores.update(predicted, truth.float() if masked else truth, mask if masked else None)
        keep = mask if masked else torch.ones_like(mask)
        said.append((predicted > threshold)[keep])
        real.append(truth[keep])
    found, said, real = scores.compute(), torch.cat(said).numpy(), torch.cat(real).numpy()
    assert set(found) == set(KNOWN)
    for name, function in KNOWN.items():
        assert found[name].item() == pytest.approx(function(real, said), abs=1e-12)


def test_scores_are_not_means_of_those_of_batches():
    scores = OccupancyScores()
    scores.update(torch.ones(1), torch.ones(1))
    scores.update(torch.zeros(99), torch.ones(99))
    assert scores.compute()["recall"] == pytest.approx(0.01)


def test_a_value_at_the_threshold_is_outside():
    scores = OccupancyScores(0.5)
    scores.update(torch.tensor([0.5]), torch.tensor([True]))
    assert scores.compute()["recall"] == 0


def test_nothing_that_counts_gives_nan_not_zero():
    scores = OccupancyScores()
    scores.update(torch.rand(10), torch.rand(10), torch.zeros(10, dtype=torch.bool))
    assert all(value.isnan() for value in scores.compute().values())
    scores.update(torch.zeros(10), torch.zeros(10))
    found = scores.compute()
    assert found["accuracy"] == 1 and found["iou"].isnan() and found["precision"].isnan() and found["recall"].isnan()


@pytest.mark.parametrize("which", [0, 1])
def test_nan_is_refused_where_it_counts(which):
    given = [torch.rand(4), torch.rand(4)]
    given[which][2] = torch.nan
    scores = OccupancyScores()
    scores.update(*given, torch.tensor([True, True, False, True]))
    assert scores.compute()["accuracy"].isfinite()
    scores.update(*given)
    with pytest.raises(ValueError, match="1 values are NaN"):
        scores.compute()


def test_reset_forgets():
    scores = OccupancyScores()
    scores.update(torch.zeros(3), torch.ones(3))
    scores.reset()
    scores.update(torch.ones(3), torch.ones(3))
    assert scores.compute()["accuracy"] == 1


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        OccupancyScores().update(torch.rand(2, 3), torch.rand(3))
    with pytest.raises(ValueError, match="one shape"):
        OccupancyScores().update(torch.rand(3), torch.rand(3), torch.ones(1, dtype=torch.bool))


ONE_OF_TWO = """
import json, sys, torch
from tessera.validation.metrics.occupancy import OccupancyScores
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
scores = OccupancyScores()
for batch in torch.load(f"{folder}/batches.pt")[rank::2]:
    scores.update(*batch)
print(json.dumps({name: value.item() for name, value in scores.compute().items()}))
torch.distributed.destroy_process_group()
"""


def test_two_processes_find_the_scores_of_all_batches(tmp_path):
    """Of which one has three, and the other two."""
    torch.save(list(batches(3)), tmp_path / "batches.pt")
    command = [sys.executable, "-c", ONE_OF_TWO]
    both = [subprocess.Popen([*command, str(rank), str(tmp_path)], stdout=subprocess.PIPE) for rank in range(2)]
    found = [json.loads(each.communicate(timeout=120)[0]) for each in both]
    alone = OccupancyScores()
    for batch in batches(3):
        alone.update(*batch)
    known = {name: value.item() for name, value in alone.compute().items()}
    assert found == [known, known] and 0 < known["iou"] < 1
