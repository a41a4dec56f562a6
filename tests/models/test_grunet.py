"""Both networks keep their contract: shapes, rows by themselves, sizes given back."""

import numpy as np
import pytest
import torch

from models.encoding import CONTEXT_WIDTH
from models.grunet import build, config_of
from models.numpy_network import NumpyGrunet
from models.sizes import NETWORKS, sizes_of, tensor_shapes


def _inputs(beats: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return (
        torch.randn(beats, 2, 600, generator=generator),
        torch.randn(beats, CONTEXT_WIDTH, generator=generator).clamp(-1, 1),
    )


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("beats", [1, 5])
def test_logits_of_every_class(name: str, beats: int) -> None:
    """Windows, templates and contexts become five finite logits a beat."""
    network = build(name).eval()
    with torch.inference_mode():
        logits = network(*_inputs(beats))
    assert logits.shape == (beats, 5)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_beat_is_judged_by_itself(name: str) -> None:
    """The other beats of a batch do not move a beat's logits."""
    network = build(name).eval()
    window, context = _inputs(6)
    with torch.inference_mode():
        together = network(window, context)
        alone = torch.cat([network(window[i : i + 1], context[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_rebuild_the_network(name: str) -> None:
    """A network built from another's sizes takes over its weights."""
    network = build(name)
    again = build(name, config_of(network))
    again.load_state_dict(network.state_dict())


def test_grunet_looks_at_context_and_the_papers_does_not() -> None:
    """Context moves the product's logits and leaves the paper's alone."""
    window, context = _inputs(4)
    for name, moved in (("grunet", True), ("grunet-paper", False)):
        network = build(name).eval()
        with torch.inference_mode():
            assert torch.equal(network(window, context), network(window, -context)) is not moved


def test_unknown_network_or_size_is_refused() -> None:
    """A network or a size that does not exist is named in the error."""
    with pytest.raises(ValueError, match="'unet'"):
        build("unet")
    with pytest.raises(ValueError, match="depth"):
        build("grunet", {"depth": 3})
    with pytest.raises(ValueError, match="multiple of out_bins"):
        build("grunet", {"stem_stride": 8})


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_are_known_without_torch(name: str) -> None:
    """Name and shape of every tensor follow from the sizes."""
    state = build(name).state_dict()
    assert tensor_shapes(sizes_of(name)) == {key: list(value.shape) for key, value in state.items()}


@pytest.mark.parametrize(
    "sizes", [{}, {"stem_stride": 5, "stem_kernel": 15, "kernel": 3, "widths": (8, 8, 12)}]
)
def test_numpy_agrees_with_torch(sizes: dict[str, object]) -> None:
    """NumPy gives torch's logits to 1e-4, whatever the sizes, the batch norms' means and the batch."""
    torch.manual_seed(5)
    network = build("grunet", sizes).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    by_numpy = NumpyGrunet({k: v.numpy() for k, v in network.state_dict().items()}, config_of(network))
    for beats in (1, 7):
        window, context = _inputs(beats)
        with torch.inference_mode():
            expected = network(3 * window, context).numpy()
        np.testing.assert_allclose(by_numpy(3 * window.numpy(), context.numpy()), expected, atol=1e-4)
