"""What the documentation says of the shipped model is what its card says."""

from pathlib import Path

from models import evaluation_page
from models.card import read_card
from models.card_page import PAGE, render
from models.runtime import SHIPPED_WEIGHTS, load_classifier
from models.splits import CHOOSING_ONLY, DS1, DS2, SVDB_TRAINING


def test_page_is_the_cards() -> None:
    """`docs/model-card.md` is exactly what the card renders to; run `python -m models.card_page` if not."""
    assert PAGE.read_text(encoding="utf-8") == render(read_card(SHIPPED_WEIGHTS))


def test_evaluation_is_the_cards() -> None:
    """`docs/classifier/evaluation.html` is what the card gives; run `python -m models.evaluation_page` if not."""
    found = (evaluation_page.FOLDER / evaluation_page.PAGE).read_text(encoding="utf-8")
    assert found == evaluation_page.page(read_card(SHIPPED_WEIGHTS))


def test_plot_is_drawn(tmp_path: Path) -> None:
    """Reliability and answered share become a picture."""
    evaluation_page.draw(read_card(SHIPPED_WEIGHTS), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_shipped_card_is_honest() -> None:
    """The shipped weights saw DS1 and svdb only, know it, and come with their DS2 figures and the baseline."""
    card = read_card(SHIPPED_WEIGHTS)
    assert set(card.training_records) == {*DS1, *SVDB_TRAINING} - set(CHOOSING_ONLY)
    assert set(card.validation_records) == set(CHOOSING_ONLY)
    assert load_classifier(device="cpu").training_records == {*DS1, *SVDB_TRAINING}
    assert set(card.results["ds2"]["records"]) == set(DS2)
    assert card.results["ds2"]["gross"]["accuracy"] > 0
    assert card.results["ds2"]["gross"]["baseline"] > 0.85


def test_page_shows_a_changed_figure() -> None:
    """Another figure in the card is another page."""
    card = read_card(SHIPPED_WEIGHTS)
    page = render(card)
    card.results["ds2"]["gross"]["accuracy"] = 0.1234
    assert render(card) != page
    assert "0.1234" in render(card)
