"""The compiled layers compute what torch's do: results, slopes, running values, whole networks and their training."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import compiled_layers
from models.reproduction.networks import NETWORKS, build

BEATS = 37
"""No multiple of what a loop does at once."""


def turned(tensor: Tensor) -> Tensor:
    """Return ``[beats, channels, time]`` as ``[time, channels, beats]``, and back."""
    return tensor.permute(2, 1, 0).contiguous()


def agree(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Assert equality up to a hundred-thousandth of the largest value."""
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        size = max(float(other.detach().abs().max()), 1.0)
        torch.testing.assert_close(one / size, other / size, atol=1e-5, rtol=0)


def both_ways(
    ours: Callable[..., Tensor],
    theirs: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    layer: nn.Module | None,
) -> None:
    """Assert that results, and slopes of inputs and parameters, agree; all tensors ``[beats, channels, time]``."""
    parameters = [] if layer is None else list(layer.parameters())
    plain = [each.clone().requires_grad_() for each in inputs]
    expected = theirs(*plain)
    slope = torch.randn(expected.shape)
    slopes = torch.autograd.grad(expected, [*plain, *parameters], slope)
    beats_last = [turned(each).requires_grad_() for each in inputs]
    found = ours(*beats_last)
    found_slopes = torch.autograd.grad(found, [*beats_last, *parameters], turned(slope))
    n = len(inputs)
    agree([turned(found)], [expected])
    agree([turned(each) for each in found_slopes[:n]], slopes[:n])
    agree(found_slopes[n:], slopes[n:])


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel"), [(1, 8, 3), (24, 8, 3), (9, 13, 5), (8, 4, 1), (2, 16, 7)]
)
def test_a_convolution_is_torchs(inputs: int, outputs: int, kernel: int) -> None:
    """Whatever the channels and the kernel, whole tiles or not."""
    torch.manual_seed(1)
    layer = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
    both_ways(lambda x: compiled_layers.convolve(x, layer), layer, [torch.randn(BEATS, inputs, 21)], layer)


def test_batch_norm_and_rectifier_are_torchs() -> None:
    """Results, slopes and running values agree, with a mean that is large beside the spread."""
    torch.manual_seed(2)
    ours, theirs = nn.BatchNorm1d(6), nn.BatchNorm1d(6)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    signal = torch.randn(BEATS, 6, 40) + 30
    slope = torch.randn(signal.shape)

    def outcome(
        layer: nn.BatchNorm1d, run: Callable[[Tensor], Tensor], turn: Callable[[Tensor], Tensor]
    ) -> list[Tensor]:
        given = turn(signal).clone().requires_grad_()
        out = run(given)
        slopes = torch.autograd.grad(out, [given, *layer.parameters()], turn(slope))
        return [turn(out), turn(slopes[0]), *slopes[1:], *layer.buffers()]

    agree(
        outcome(ours, lambda x: compiled_layers.normalise_and_rectify(x, ours), turned),
        outcome(theirs, lambda x: functional.relu(theirs(x)), lambda x: x),
    )


@pytest.mark.parametrize("length", [30, 15])
def test_pooling_is_torchs(length: int) -> None:
    """The larger of two points, the first of equal ones, and no odd point at the end."""
    signal = torch.randn(BEATS, 5, length).round()
    both_ways(compiled_layers.halve, lambda x: functional.max_pool1d(x, 2), [signal], None)


@pytest.mark.parametrize(("short", "long"), [(75, 150), (7, 15), (15, 30)])
def test_interpolation_beside_features_is_torchs(short: int, long: int) -> None:
    """Linear interpolation to the features' length, and the features after it."""
    both_ways(
        compiled_layers.widen_beside,
        lambda x, y: torch.cat([functional.interpolate(x, size=long, mode="linear"), y], dim=1),
        [torch.randn(BEATS, 5, short), torch.randn(BEATS, 3, long)],
        None,
    )


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
@pytest.mark.parametrize(("inputs", "units", "steps"), [(16, 16, 300), (5, 64, 120), (5, 6, 7), (64, 64, 75)])
def test_a_recurrent_layer_is_torchs(
    kind: type[nn.GRU] | type[nn.RNN], inputs: int, units: int, steps: int
) -> None:
    """States over hundreds of steps, and the slopes of input, weights and biases."""
    torch.manual_seed(4)
    layer = kind(inputs, units, batch_first=True)
    run = compiled_layers.gru if kind is nn.GRU else compiled_layers.rnn
    both_ways(
        lambda x: run(x, layer),  # type: ignore[arg-type] # each layer meets its own function
        lambda x: layer(x.transpose(1, 2))[0].transpose(1, 2),
        [2 * torch.randn(BEATS, inputs, steps)],
        layer,
    )


def test_saturated_gates_stay_finite() -> None:
    """Inputs far outside what a gate tells apart give torch's answer, not an overflow."""
    torch.manual_seed(5)
    layer = nn.GRU(4, 8, batch_first=True)
    signal = 1e4 * torch.randn(BEATS, 4, 9)
    # Sums of this size are themselves known to a thousandth only.
    torch.testing.assert_close(
        turned(compiled_layers.gru(turned(signal), layer)),
        layer(signal.transpose(1, 2))[0].transpose(1, 2),
        atol=1e-3,
        rtol=0,
    )


# Windows in which a rectifier's input lies within rounding of 0 would say nothing: its slope is 0 or 1 by chance.
@pytest.mark.parametrize(
    ("name", "leads", "windows_seed"), [*((name, 1, 7) for name in NETWORKS), ("Grunet", 2, 9)]
)
def test_a_network_trains_as_in_torch(name: str, leads: int, windows_seed: int) -> None:
    """Logits, every parameter's slope and every running value agree with torch's own layers."""
    torch.manual_seed(windows_seed)
    shape = (BEATS, 600) if leads == 1 else (BEATS, leads, 600)
    windows, labels = torch.randn(shape), torch.randint(0, 5, (BEATS,))
    outcomes = []
    for compiled in (False, True):
        torch.manual_seed(6)
        network = build(name, leads=leads, compiled=compiled)
        network = network if compiled else network.double()
        logits = network(windows.to(next(network.parameters()).dtype))
        functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call] # torch leaves it so
        slopes = {key: value.grad for key, value in network.named_parameters()}
        outcomes.append(({"logits": logits.detach(), **slopes}, dict(network.named_buffers())))
    for theirs, ours in zip(*outcomes, strict=True):
        assert theirs.keys() == ours.keys()
        for key, value in ours.items():
            assert value is not None
            # A value at the very edge of a rectifier may fall on either side: 2e-5 in one network of four.
            torch.testing.assert_close(value, theirs[key].to(value.dtype), atol=5e-5, rtol=1e-4, msg=key)


def test_layers_of_another_kind_are_refused() -> None:
    """What the loops do not compute is named, not computed wrongly."""
    signal = torch.zeros(8, 4, 3)
    with pytest.raises(ValueError, match="one layer in one direction"):
        compiled_layers.gru(signal, nn.GRU(4, 4, bidirectional=True))
    with pytest.raises(ValueError, match="with tanh"):
        compiled_layers.rnn(signal, nn.RNN(4, 4, nonlinearity="relu"))
    with pytest.raises(ValueError, match="odd kernel"):
        compiled_layers.convolve(signal, nn.Conv1d(4, 4, 3))
    with pytest.raises(ValueError, match="running values"):
        compiled_layers.normalise_and_rectify(signal, nn.BatchNorm1d(4, track_running_stats=False))
    with pytest.raises(ValueError, match="in training"):
        compiled_layers.normalise_and_rectify(signal, nn.BatchNorm1d(4).eval())
