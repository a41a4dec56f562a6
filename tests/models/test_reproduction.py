"""The reproduction: beats are cut as told, nothing leaks where nothing may, runs resume, and the page says its JSON."""

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from models.reproduction import outcome
from models.reproduction.experiments import FILTERS, Experiment, experiments
from models.reproduction.figures import draw_all, network_figure
from models.reproduction.fitting import Budget, fit, mixed, predict, varied
from models.reproduction.networks import NETWORKS, build
from models.reproduction.page import render
from models.reproduction.preprocessing import HALF, combination, cut, filtered
from models.reproduction.protocols import AS_THE_PAPER, INTER_PATIENT, OF_MINUTES, split
from models.reproduction.running import is_done, run
from models.reproduction.windows import Windows, load_windows
from monitor.cli.application import app
from monitor.contract import AAMI_CLASSES
from monitor.errors import ModelError, UsageError

REPOSITORY = Path(__file__).parents[2]
_STEPS = tuple(f"figure-{number}" for number in range(3, 7))


def noise(samples: int, seed: int = 1) -> np.ndarray:
    """Return noise like a signal of some millivolt."""
    return np.random.default_rng(seed).normal(0, 1, samples).astype(np.float32)


def beats(records: tuple[str, ...] = ("mitdb/101", "mitdb/100"), each: int = 400) -> Windows:
    """Return made-up beats 0.8 s apart, the class written in the window's mean."""
    random = np.random.default_rng(0)
    label = random.choice(5, len(records) * each, p=[0.6, 0.1, 0.1, 0.1, 0.1]).astype(np.int64)
    window = random.normal(0, 0.3, (len(label), 2 * HALF)).astype(np.float32)
    window[:, 200:400] += label[:, np.newaxis]
    return Windows(
        records=records,
        rate_hz=360.0,
        window=window,
        label=label,
        record=np.repeat(np.arange(len(records)), each),
        r_sample=np.tile(HALF + 288 * np.arange(each), len(records)),
        too_near_an_end=0,
    )


@pytest.mark.parametrize("name", FILTERS)
def test_causal_windows_know_nothing_after_them(name: str) -> None:
    """Whatever comes after a causal window's last sample changes nothing in it."""
    whole, steps = noise(6000), combination(name)
    later = whole.copy()
    r = np.array([2500])
    later[2500 + HALF :] += 50
    first, second = (cut(filtered(x, 360.0, steps, "causal"), r, steps, "causal") for x in (whole, later))
    np.testing.assert_array_equal(first, second)


def test_zero_phase_leaves_a_wave_in_its_place() -> None:
    """A slow bump stays where it is when filtered both ways, and comes later when filtered forwards."""
    t = np.arange(7200) / 360.0
    bump = np.exp(-(((t - 10) / 0.05) ** 2)).astype(np.float32)
    steps = combination("high-pass + low-pass")
    both, forwards = (filtered(bump, 360.0, steps, way) for way in ("zero-phase", "causal"))
    assert both.argmax() == bump.argmax()
    assert forwards.argmax() > bump.argmax()


def test_a_step_that_is_none_is_named() -> None:
    """A wrong filter name is refused with the names that there are."""
    with pytest.raises(ValueError, match="'notch': use high-pass, low-pass, wavelet"):
        combination("high-pass + notch")


def test_no_minute_and_no_sample_is_shared_when_minutes_are_parted() -> None:
    """Split by minutes no test window overlaps a training window; split by beats almost every one does."""
    made = beats()
    assert split(made, OF_MINUTES, 1).shared == 0.0
    by_beat = split(made, AS_THE_PAPER, 1)
    assert by_beat.shared > 0.9
    assert not set(by_beat.training) & set(by_beat.testing)
    assert len(by_beat.training) + len(by_beat.testing) == len(made)


def test_every_class_is_parted_alike() -> None:
    """A random split of beats gives a fifth of every class to the test."""
    made = beats()
    testing = split(made, AS_THE_PAPER, 3).testing
    for label in range(5):
        n = (made.label == label).sum()
        assert abs((made.label[testing] == label).sum() - n / 5) <= 1


def test_no_person_is_in_both_parts_of_the_inter_patient_split() -> None:
    """DS1 trains and DS2 tests, and a record of neither is in none."""
    made = beats(("mitdb/101", "mitdb/100", "mitdb/102"), 50)
    parts = split(made, INTER_PATIENT, 1)
    assert set(made.record[parts.training]) == {0}
    assert set(made.record[parts.testing]) == {1}
    assert parts.shared == 0.0


def test_training_windows_move_and_grow_as_the_budget_says(tmp_path: Path) -> None:
    """With a shift and a gain the same draws give other losses; without them two runs are one."""
    made = beats(each=80)
    losses = []
    for number, (shift, gain) in enumerate(((0, 0.0), (0, 0.0), (8, 0.0), (0, 0.1))):
        torch.manual_seed(1)
        budget = Budget(epochs=1, batch=64, shift=shift, gain=gain)
        losses += fit(build("RNN"), made.window, made.label, 5, budget, 1, tmp_path / str(number)).losses
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


def test_the_leads_of_a_beat_move_and_grow_together() -> None:
    """Two leads that are the same stay the same, beat by beat; what they become is what one lead becomes."""
    one = beats(each=20).window
    both = np.stack([one, one], axis=1)
    alone, together = (varied(window, Budget(), np.random.default_rng(1)) for window in (one, both))
    assert together.shape == both.shape
    assert not np.array_equal(together, both)
    np.testing.assert_array_equal(together[:, 0], alone)
    np.testing.assert_array_equal(together[:, 1], alone)


def test_a_stretched_window_keeps_its_middle() -> None:
    """The R peak stays where it is, what is beside it moves, in both leads alike; without a stretch nothing does."""
    one = beats(each=20).window
    still = Budget(shift=0, gain=0.0)
    np.testing.assert_array_equal(varied(one, still, np.random.default_rng(1)), one)
    stretched = varied(np.stack([one, one], axis=1), replace(still, stretch=0.1), np.random.default_rng(1))
    np.testing.assert_array_equal(stretched[:, 0], stretched[:, 1])
    np.testing.assert_array_equal(stretched[:, 0, HALF], one[:, HALF])
    assert (stretched[:, 0, HALF + 100 :] != one[:, HALF + 100 :]).mean() > 0.9
    ramp = np.arange(2 * HALF, dtype=np.float32)[np.newaxis]
    paces = np.diff(varied(ramp, replace(still, stretch=0.1), np.random.default_rng(2))[0, 50:-50])
    assert 0.9 <= paces.min() <= paces.max() <= 1.1
    np.testing.assert_allclose(paces, paces[0], atol=1e-3)


def test_mixed_windows_ask_for_what_is_in_them() -> None:
    """Each window is a share of itself and the rest of another one; its classes are asked for by the same shares."""
    windows = np.eye(5, 2 * HALF, dtype=np.float32)
    both, wanted = mixed(windows, torch.eye(5), Budget(mix=0.4), np.random.default_rng(3))
    np.testing.assert_allclose(both[:, :5], wanted.numpy(), atol=1e-6)
    np.testing.assert_allclose(both.sum(axis=1), 1.0, atol=1e-6)
    assert 0.0 < both[0, 0] < 1.0


def test_several_looks_are_answered_by_their_mean() -> None:
    """A network that sees one point answers by it alone, or by its mean over the places that are looked at."""

    class Point(torch.nn.Module):
        def forward(self, window: torch.Tensor) -> torch.Tensor:
            seen = window[:, HALF]
            return torch.stack([torch.zeros_like(seen), seen], dim=1)

    window = np.zeros((1, 2 * HALF), np.float32)
    window[0, HALF - 8], window[0, HALF] = 3.0, -1.0
    label = np.array([0, 1])
    training = np.stack([np.full(2 * HALF, -1.0), np.full(2 * HALF, 1.0)]).astype(np.float32)
    answers = [
        predict(Point(), window, training, label, 2, Budget(shift=8, looks=looks)).tolist()
        for looks in (1, 3)
    ]
    assert answers == [[0], [1]]


def test_the_prior_moves_answers_to_what_is_common() -> None:
    """Where most N beats were left out of training, an even logit means N; without the move the other class wins."""

    class Even(torch.nn.Module):
        def forward(self, window: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 0.1]]).expand(len(window), 2)

    training = np.zeros((110, 2 * HALF), np.float32)
    label = np.repeat([0, 1], [100, 10])
    answers = [
        predict(Even(), training[:1], training, label, 2, Budget(normal_beats=10, prior=prior)).tolist()
        for prior in (1.0, 0.0)
    ]
    assert answers == [[0], [1]]


def test_only_networks_of_grunets_shape_see_several_leads() -> None:
    """They answer for both; another says which do."""
    for name in ("CNN", "Grunet"):
        network = build(name, leads=2).eval()
        window = torch.from_numpy(np.stack([noise(2 * HALF), noise(2 * HALF, 2)]))[None]
        assert network(window).shape == (1, len(AAMI_CLASSES))
        assert not torch.equal(network(window), network(window * torch.tensor([[1.0], [0.5]])))
    with pytest.raises(ValueError, match="2 leads: it sees one; use Grunet, Grunet-16 or CNN"):
        build("RNN", leads=2)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_answer_with_five_classes(name: str) -> None:
    """Every network of Table 2 takes windows and gives logits of five classes."""
    assert build(name)(torch.zeros(2, 2 * HALF)).shape == (2, len(AAMI_CLASSES))


def test_the_cnn_is_grunet_without_its_grus() -> None:
    """CNN and Grunet differ by the parameters of three GRUs, and by nothing else."""
    names = {name: {key for key, _ in build(name).named_parameters()} for name in ("CNN", "Grunet")}
    assert names["CNN"] < names["Grunet"]
    assert all(".gru." in key for key in names["Grunet"] - names["CNN"])


def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path: Path) -> None:
    """Stopped after every epoch and resumed, a run has the losses and answers of an uninterrupted one."""
    made, budget = beats(each=120), Budget(epochs=3, normal_beats=60, batch=64)
    ends = []
    for folder, stops in ((tmp_path / "whole", False), (tmp_path / "parts", True)):
        while True:
            torch.manual_seed(1)
            network = build("RNN")
            stop = partial(bool, stops)
            losses = fit(network, made.window, made.label, 5, budget, 1, folder, stop=stop).losses
            if len(losses) == budget.epochs:
                break
        ends.append((losses, predict(network, made.window, made.window, made.label, 5, budget)))
    assert ends[0][0] == ends[1][0]
    np.testing.assert_array_equal(ends[0][1], ends[1][1])


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    """A run does not go on from a checkpoint that had another budget."""
    made = beats(each=40)
    fit(build("RNN"), made.window, made.label, 5, Budget(epochs=1), 1, tmp_path)
    with pytest.raises(ModelError, match="checkpoint of another run"):
        fit(build("RNN"), made.window, made.label, 5, Budget(epochs=2), 1, tmp_path)


def test_a_checkpoint_from_before_there_was_a_choice_goes_on(tmp_path: Path) -> None:
    """What its budget does not name had what is the default now, and nothing else."""
    made, budget, path = beats(each=40), Budget(epochs=1, batch=64), tmp_path / "checkpoint.safetensors"
    begun = fit(build("RNN"), made.window, made.label, 5, budget, 1, tmp_path)
    with safe_open(path, framework="pt") as file:
        progress = json.loads(file.metadata()["progress"])
    for name in ("stretch", "mix", "looks", "prior"):
        del progress["of"]["budget"][name]
    save_file(load_file(path), path, {"progress": json.dumps(progress)})
    assert fit(build("RNN"), made.window, made.label, 5, budget, 1, tmp_path).losses == begun.losses
    with pytest.raises(ModelError, match="checkpoint of another run"):
        fit(build("RNN"), made.window, made.label, 5, replace(budget, mix=0.2), 1, tmp_path)


def test_what_is_learnt_is_found_and_shuffled_labels_are_not(tmp_path: Path) -> None:
    """A network learns made-up classes; with labels dealt anew it answers no better than the commonest class."""
    made, budget = beats(each=300), Budget(epochs=6, batch=64)
    parts = split(made, AS_THE_PAPER, 1)
    accuracy = {}
    for kind in ("true", "shuffled"):
        label = made.label.copy()
        if kind == "shuffled":
            np.random.default_rng(5).shuffle(label)
        torch.manual_seed(1)
        network = build("RNN")
        train = made.window[parts.training], label[parts.training]
        fit(network, *train, 5, budget, 1, tmp_path / kind)
        answer = predict(network, made.window[parts.testing], *train, 5, budget)
        accuracy[kind] = float((answer == label[parts.testing]).mean())
    assert accuracy["true"] > 0.95
    assert accuracy["shuffled"] < 0.7


def test_figures_of_a_known_table() -> None:
    """Macro values are means over the classes there are; a class nothing was called has precision 0."""
    found = outcome.figures(np.array([[8, 2, 0], [0, 0, 4], [0, 0, 0]]))
    assert found["accuracy"] == pytest.approx(8 / 14)
    assert found["baseline"] == pytest.approx(10 / 14)
    assert found["macro_recall"] == pytest.approx(0.4)
    assert found["macro_precision"] == pytest.approx(0.5)


def test_an_outcome_of_another_budget_is_stale() -> None:
    """A result counts only for the run and the budget it was made with."""
    run_of, budget = Experiment(), Budget()
    made = outcome.describe(
        run_of,
        budget,
        np.eye(5, dtype=np.int64),
        beats={},
        parameters=1,
        losses=[1.0],
        seconds=1.0,
        commit="-",
        date="-",
    )
    made = json.loads(json.dumps(made))
    assert outcome.is_current(made, run_of, budget)
    assert not outcome.is_current(made, run_of, Budget(epochs=1))
    assert not outcome.is_current(made, Experiment(seed=2), budget)
    assert not outcome.is_current(None, run_of, budget)
    assert outcome.current({run_of.key: made}, budget) == {run_of.key: made}
    # Before there was a choice every run saw one lead, once, and nothing was mixed.
    del made["experiment"]["leads"], made["experiment"]["looks"], made["budget"]["mix"]
    assert outcome.is_current(made, run_of, budget)
    assert not outcome.is_current(made, Experiment(leads=2), budget)
    assert not outcome.is_current(made, Experiment(looks=9), budget)
    assert outcome.current({run_of.key: made}, Budget(epochs=1)) == {}


def test_a_long_run_spends_more_in_epochs_alone() -> None:
    """Its budget is the equal one but for the epochs, and its outcome is no outcome of the equal budget."""
    long, equal = Experiment(epochs=40), Budget(shift=3)
    assert long.budget_of(equal) == replace(equal, epochs=40)
    assert Experiment().budget_of(equal) == equal
    assert long.key != Experiment().key


def test_every_run_has_a_name_of_its_own() -> None:
    """No two runs share a file."""
    keys = [experiment.key for experiment in experiments()]
    assert len(set(keys)) == len(keys)


def test_kept_outcomes_follow_from_their_own_counts() -> None:
    """Every figure in the committed JSON is what its confusion matrix gives."""
    for key, kept in outcome.read_all().items():
        assert kept["key"] == key == Experiment(**kept["experiment"]).key
        assert kept["figures"] == outcome.figures(np.array(kept["confusion"])), key
        assert np.sum(kept["confusion"], axis=1).tolist() == kept["beats"]["testing"], key


def test_the_page_says_what_the_outcomes_say() -> None:
    """The committed page is the one that the committed outcomes give, none of which is of another budget."""
    kept = outcome.read_all()
    assert outcome.current(kept, Budget()) == kept
    assert (REPOSITORY / "docs" / "reproduction.md").read_text() == render(kept)


def test_figures_are_drawn_from_what_there_is(tmp_path: Path) -> None:
    """Without recordings and outcomes the network and its GRU are drawn, with the shapes that flow through it."""
    files = {path.name for path in draw_all({}, tmp_path, recordings=False)}
    assert files == {f"figure-{name}.{kind}" for name in ("1-network", "2-gru") for kind in ("png", "svg")}
    texts = [text.get_text() for text in network_figure().axes[0].texts]
    assert any("64" in text and "75" in text for text in texts)


def test_committed_figures_show_the_committed_outcomes(tmp_path: Path) -> None:
    """Drawn anew, figures 1, 2, 7 and 8 say the same words and numbers as the files beside the page."""
    drawn = [
        path for path in draw_all(outcome.read_all(), tmp_path, recordings=False) if path.suffix == ".svg"
    ]
    assert {path.name[:8] for path in drawn} == {"figure-1", "figure-2", "figure-7", "figure-8"}
    for path in drawn:
        said, kept = (_texts(file) for file in (path, REPOSITORY / "docs" / "reproduction" / path.name))
        assert said == kept, path.name
    matrix = np.array(outcome.read_all()[Experiment().key]["confusion"])
    shares = [f"{value:.3f}" for value in (matrix / matrix.sum(axis=1, keepdims=True)).reshape(-1)]
    assert [text for text in _texts(tmp_path / "figure-7-mitdb.svg") if text in shares] == shares


@pytest.mark.usefixtures("recordings")
def test_figures_of_the_steps_are_drawn_anew(tmp_path: Path) -> None:
    """Figures 3 to 6 come from a record, and say what the committed ones say."""
    drawn = [path for path in draw_all({}, tmp_path, recordings=True) if path.name[:8] in _STEPS]
    assert {path.name[:8] for path in drawn} == set(_STEPS)
    for path in drawn:
        if path.suffix == ".svg":
            assert _texts(path) == _texts(REPOSITORY / "docs" / "reproduction" / path.name), path.name


def _texts(svg: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.read_text())


def test_a_database_with_more_records_is_done_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run counts as done while the data folder holds no more records of its database than it was made from."""
    run_of = Experiment(database="edb")
    kept = outcome.read_all()[run_of.key]
    monkeypatch.setenv("STRAPWATCH_DATA", str(tmp_path))
    assert is_done(kept, run_of, Budget()), "without a record of it nothing could be done"
    (tmp_path / "edb").mkdir()
    for number in range(kept["beats"]["records"]):
        (tmp_path / "edb" / f"e01{number:02d}.hea").write_text("")
    assert is_done(kept, run_of, Budget())
    assert not is_done(kept, run_of, Budget(epochs=1))
    (tmp_path / "edb" / "e0999.hea").write_text("")
    assert not is_done(kept, run_of, Budget())
    listed = CliRunner().invoke(app, ["reproduce", "--list", "--only", run_of.key])
    assert listed.output == f"open  {run_of.key}\n"


def test_the_command_says_what_it_would_need(tmp_path: Path) -> None:
    """Another budget needs a folder of its own, and a name that no run has is told; nothing is written."""
    answers = [
        CliRunner().invoke(app, ["reproduce", "--minutes", "0", *more])
        for more in (
            ("--epochs", "2"),
            ("--only", "nothing"),
            ("--only", "edb", "--epochs", "2", "--results", str(tmp_path)),
        )
    ]
    assert [type(answer.exception) for answer in answers[:2]] == [UsageError, UsageError]
    assert "--results" in str(answers[0].exception)
    assert "--list" in str(answers[1].exception)
    assert answers[2].exit_code == 0
    assert "Table 1" in answers[2].output
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("recordings")
def test_the_command_runs_and_keeps_what_came_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch over one record leaves its outcome where it was told, counts as done, and the page is written."""
    monkeypatch.setattr("models.reproduction.running.records_of", lambda _: ("edb/e1304",))
    key = "edb_high-low-wavelet_zero-phase_grunet_beats_seed1"
    common = ["--only", key, "--epochs", "1", "--results", str(tmp_path / "kept")]
    page = tmp_path / "page.md"
    more = ["--folder", str(tmp_path / "checkpoints"), "--page", str(page)]
    answer = CliRunner().invoke(app, ["reproduce", *common, *more], catch_exceptions=False)
    assert answer.exit_code == 0
    assert [path.stem for path in (tmp_path / "kept").iterdir()] == [key]
    assert (page.parent / "reproduction" / "figure-8-edb.png").exists()
    assert "1 of 95 runs are done" in page.read_text().replace("\n", " ")
    listed = CliRunner().invoke(app, ["reproduce", "--list", *common])
    assert listed.output == f"done  {key}\n"


@pytest.mark.usefixtures("recordings")
def test_a_run_over_real_records(tmp_path: Path) -> None:
    """One short run over two recordings ends with every test beat counted."""
    budget = Budget(epochs=1, normal_beats=400)
    made = run(Experiment(network="RNN"), budget, tmp_path, records=("mitdb/101", "mitdb/106"))
    assert made is not None
    assert np.sum(made["confusion"]) == sum(made["beats"]["testing"])
    assert made["beats"]["records"] == 2


@pytest.mark.usefixtures("recordings")
def test_both_leads_are_cut_alike(tmp_path: Path) -> None:
    """The first of two leads is the one lead; the second is another, of the same beats; a network learns from both."""
    one, both = (
        load_windows(("mitdb/101",), combination("low-pass"), "zero-phase", leads=leads, cache=tmp_path)
        for leads in (1, 2)
    )
    assert both.window.shape == (len(one), 2, 2 * HALF)
    np.testing.assert_array_equal(both.window[:, 0], one.window)
    np.testing.assert_array_equal(both.r_sample, one.r_sample)
    assert not np.array_equal(both.window[:, 1], one.window)
    made = run(Experiment(leads=2), Budget(epochs=1, normal_beats=256), tmp_path, records=("mitdb/106",))
    assert made is not None
    assert np.sum(made["confusion"]) == sum(made["beats"]["testing"])
