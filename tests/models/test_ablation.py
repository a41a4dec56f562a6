"""What the ablation changes is changed, and what it says was done was done."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import ablation
from models.ablation_variants import FINALISTS, SEQUENCE_VARIANTS, SINGLE_VARIANTS, OfSingleBeats
from models.beat_set import BeatSet
from models.encoding import CHANNELS, CONTEXT_WIDTH
from models.grunet import build
from models.splits import DS1
from monitor.contract import WINDOW_POINTS

MadeUp = Callable[[tuple[str, ...], int, int], BeatSet]
_BY_TITLE = {variant.title: variant for variant in SINGLE_VARIANTS}


def test_titles_are_unique_and_finalists_exist() -> None:
    """A title is a row of the table: no two variants share one, and the finalists are among them."""
    assert len(_BY_TITLE) == len(SINGLE_VARIANTS)
    assert len({variant.title for variant in SEQUENCE_VARIANTS}) == len(SEQUENCE_VARIANTS)
    assert set(FINALISTS) <= set(_BY_TITLE)


@pytest.mark.parametrize("title", _BY_TITLE)
def test_each_network_answers_and_learns_in_every_part(title: str) -> None:
    """A changed network gives finite logits of the same shape, and each of its weights gets a gradient."""
    torch.manual_seed(3)
    network = _BY_TITLE[title].network(build("grunet"))
    logits = network(torch.randn(6, CHANNELS, WINDOW_POINTS), torch.randn(6, CONTEXT_WIDTH))
    assert logits.shape == (6, 5)
    assert torch.isfinite(logits).all()
    logits.square().sum().backward()
    without = [name for name, value in network.named_parameters() if value.grad is None]
    assert not without


@pytest.mark.parametrize(
    ("title", "sign"),
    [("depthwise convolutions", -1), ("residual convolutions", 0), ("attention in place of mean pooling", 1)],
)
def test_a_changed_network_has_other_parts(title: str, sign: int) -> None:
    """Depthwise convolutions have fewer parameters, a residual path none of its own, attention some more."""
    plain, changed = (
        sum(value.numel() for value in network.parameters())
        for network in (build("grunet"), _BY_TITLE[title].network(build("grunet")))
    )
    assert np.sign(changed - plain) == sign


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let a run take a moment, and reports go to a folder of the test's own; return that folder."""
    monkeypatch.setattr(ablation, "BUDGET", {"epochs": 1, "beats_per_epoch": 64, "batch": 32})
    sizes = {"stem_width": 4, "widths": [4, 4, 4], "out_width": 2, "context_width": 4, "head_width": 8}
    monkeypatch.setattr("models.grunet.build", lambda name: build(name, sizes))
    monkeypatch.setattr(ablation, "REPORT", tmp_path / "ablation.json")
    monkeypatch.setattr(ablation, "PAGE", tmp_path / "ablation.md")
    return tmp_path


def test_several_networks_are_those_of_the_seeds(quick: Path, made_up_beats: MadeUp) -> None:
    """Members are the network as shipped with three seeds, trained once; the one they teach is another."""
    first = made_up_beats(DS1, 8, 5)
    second = replace(first, names=tuple(f"{name}#1" for name in DS1))
    for title in ("mean of three networks", "one network taught by three"):
        outcome = ablation.single_beats(_BY_TITLE[title], 1, first, second, quick / "runs")
        assert outcome["parts"]["mitdb"]["beats"] == len(first)
    made = {path.name for path in (quick / "runs").iterdir()}
    plain = {ablation._key_of(SINGLE_VARIANTS[0], seed) for seed in (1, 2, 3)}
    assert made == plain | {ablation._key_of(_BY_TITLE["one network taught by three"], 1)}


def test_what_a_committed_report_holds_is_not_done_again(quick: Path) -> None:
    """Runs of the report count as done, whatever the folder holds; a line in the folder counts before them."""
    line = {"key": "k1", "table": "single", "title": "t", "seed": 1, "parts": {}}
    ablation.REPORT.write_text(json.dumps({"runs": [line, {**line, "key": "k2"}]}))
    assert set(ablation._done(quick / "none")) == {"k1", "k2"}
    (quick / "done.jsonl").write_text(json.dumps({**line, "seed": 2}) + "\n")
    assert ablation._done(quick)["k1"]["seed"] == 2


def test_what_a_variant_must_not_see_is_unknown(made_up_beats: MadeUp) -> None:
    """Context fields that a variant leaves out are not a number for it, and the others are as they were."""
    beats = made_up_beats(("a",), 10, 1)
    seen = OfSingleBeats(title="x", unknown=("rr_before_s",), template=False).seen(beats)
    assert np.isnan(seen.context[:, 0]).all()
    np.testing.assert_array_equal(seen.context[:, 1:], beats.context[:, 1:])
    assert not seen.template.any()
