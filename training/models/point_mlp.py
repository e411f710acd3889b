"""The per-point network that turns features into an occupancy or a distance."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .attention import GATES, POOLS, point_gate
from .checks import check_chance, check_choice, check_least, check_shape
from .layer_plan import LayerPlan, plan_layers
from .norms import MIXING_NORMS, norm_layer
from .point_output import PointOutput


class PointMLP(nn.Module):
    """Layers that see one point each, (b, in, n) to (b, out, n): convolutions with kernel 1, norm, LeakyReLU.

    Source: PIFu's surface classifier and ICON's MLP, [13, 512, 256, 128, 1] with `res_layers` [2, 3, 4] and batch norm;
    the last layer has neither norm nor activation. HiLo adds gates between layers, dropout and the choice of norm.
    PIFu itself joins its input at every layer but the first: skips (1, 2, 3, 4) with norm `none`.

    Group and instance norm take their statistics over the points, as ICON's do: the result at a point then depends on
    the other points, also in evaluation. So it does with `pool="points"`. `points_independent` says whether it does not
    (in evaluation; batch norm mixes points while training, as ever).

    Args:
        sizes: channels in, hidden widths, channels out.
        skips: layers, from 0, that read the input again; see `plan_layers` for numbers past the last layer.
        norm: name of `norm_layer` after each layer but the last.
        dropout: chance to drop a number after each layer but the last.
        attention: `none`, or the kind of a `point_gate`.
        attention_layers: layers whose input from the layer before is gated, 1 and up; None for all.
        reduction: of the channel gates.
        pool: of the channel gates.
        last: `sigmoid`, `tanh` or `none`, of `PointOutput`.
        shape: `plain`, `u` or `n` of `plan_layers`.
        outputs: 2 for a log sigma beside each value, of `PointOutput`.

    Raises:
        ValueError: for a bad setting, which it names.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        skips: Sequence[int] = (2, 3, 4),
        *,
        norm: str = "batch",
        dropout: float = 0.0,
        attention: str = "none",
        attention_layers: Sequence[int] | None = None,
        reduction: int = 4,
        pool: str = "none",
        last: str = "sigmoid",
        shape: str = "plain",
        outputs: int = 1,
    ) -> None:
        super().__init__()
        check_chance("dropout", dropout)
        check_choice("attention", attention, ("none", *GATES))
        check_choice("pool", pool, POOLS)
        self.plans = plan_layers(sizes, skips, shape)
        self.output = PointOutput(sizes[-1], last, outputs)
        self.layers = nn.ModuleList(self._layer(plan, norm, dropout) for plan in self.plans[:-1])
        self.layers.append(nn.Conv1d(self.plans[-1].inputs, self.output.width, 1))
        gated = _gated(attention, attention_layers, len(self.plans))
        self.gates = nn.ModuleDict(
            {str(i): point_gate(attention, self.plans[i - 1].outputs, reduction, pool) for i in gated}
        )
        mixing_gate = bool(gated) and attention != "spatial" and pool == "points"
        self.points_independent = norm not in MIXING_NORMS and not mixing_gate

    @staticmethod
    def _layer(plan: LayerPlan, norm: str, dropout: float) -> nn.Sequential:
        layer = nn.Conv1d(plan.inputs, plan.outputs, 1)
        return nn.Sequential(layer, norm_layer(norm, plan.outputs, 1), nn.LeakyReLU(), nn.Dropout(dropout))

    def forward(self, features: Tensor) -> Tensor:
        """Values of points.

        Args:
            features: (b, sizes[0], n) float.

        Returns:
            (b, sizes[-1] * outputs, n) float32 (float64 for float64 features).

        Raises:
            ValueError: for features of another shape.
        """
        check_shape("features", features, None, self.plans[0].inputs, None)
        states: list[Tensor] = []
        for number, (plan, layer) in enumerate(zip(self.plans, self.layers, strict=True)):
            before = states[-1] if states else features
            parts = [self.gates[str(number)](before) if str(number) in self.gates else before]
            if plan.with_input:
                parts.append(features)
            if plan.mirror is not None:
                parts.append(states[plan.mirror])
            states.append(layer(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]))
        return self.output(states[-1])


def _gated(attention: str, layers: Sequence[int] | None, count: int) -> list[int]:
    """Numbers of the layers, of `count`, that have a gate before them."""
    if attention == "none":
        if layers is not None:
            raise ValueError(f"attention_layers is {tuple(layers)}, but attention is 'none'")
        return []
    chosen = list(range(1, count)) if layers is None else list(layers)
    for layer in chosen:
        check_least(1, attention_layers=layer)
    if not chosen or max(chosen) >= count or len(set(chosen)) != len(chosen):
        raise ValueError(f"attention_layers is {tuple(chosen)}; it must name layers 1 to {count - 1}, each once")
    return chosen
