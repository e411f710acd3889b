"""Norms by name: what each takes its statistics over."""

import pytest
import torch
from tessera.training.models.norms import MIXING_NORMS, NORMS, group_count, norm_layer


@pytest.mark.parametrize(
    ("channels", "groups"), [(256, 32), (64, 32), (32, 32), (48, 12), (16, 4), (12, 3), (8, 2), (4, 1), (3, 1), (7, 1)]
)
def test_groups_are_32_or_leave_four_channels(channels, groups):
    assert group_count(channels) == groups
    norm_layer("group", channels, 1)(torch.randn(2, channels, 5))


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("name", NORMS)
def test_positions_are_mixed_by_the_norms_that_say_so(name, dimensions):
    norm = norm_layer(name, 8, dimensions).eval()
    features = torch.randn(2, 8, *[4] * dimensions, generator=torch.Generator().manual_seed(0))
    changed = features.clone()
    changed.flatten(2)[..., -1] += 3 * torch.randn(2, 8, generator=torch.Generator().manual_seed(1))
    first, second = norm(features).flatten(2), norm(changed).flatten(2)
    assert first.shape == (2, 8, 4**dimensions)
    assert torch.allclose(first[..., 0], second[..., 0], atol=1e-6) == (name not in MIXING_NORMS)


def test_layer_norm_is_over_channels():
    normed = norm_layer("layer", 16, 2)(5 + 3 * torch.randn(2, 16, 3, 4))
    torch.testing.assert_close(normed.mean(1), torch.zeros(2, 3, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(normed.var(1, correction=0), torch.ones(2, 3, 4), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("bach", 8, 2), "norm"), (("batch", 0, 2), "channels"), (("batch", 8, 4), "dimensions")],
)
def test_bad_settings_are_refused(arguments, named):
    with pytest.raises(ValueError, match=named):
        norm_layer(*arguments)
