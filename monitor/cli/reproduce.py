"""``strapwatch reproduce``: the paper's tables and figures, rebuilt from raw records."""

from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.errors import UsageError

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from rich.console import Console

    from models.reproduction.experiments import Experiment
    from models.reproduction.fitting import Budget

# Rich keeps the line breaks of a help text, so each paragraph is one line.
_HELP = """Rebuild the Grunet paper's tables from raw records, honest protocols beside them.

Every run has the same budget, but for those whose name says otherwise (Grunet over the filters has fewer epochs, two \
runs have more). It leaves a JSON file and resumes from its last epoch: stop at any time and call again. A run is done \
anew where more records of its database are there than it was made from. Needs mitdb, and edb and svdb for their \
tables. All runs together take some seven hours of a core; the ones that tell most come first.

[bold]Example[/bold]: go on for an hour, then print the tables

  strapwatch reproduce --minutes 60
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("reproduce", help=_HELP)(reproduce)


def reproduce(
    *,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop at the end of an epoch after so long; 0 only prints the tables."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only runs with TEXT in their name, see --list.")
    ] = None,
    list_runs: Annotated[bool, typer.Option("--list", help="Print the names of all runs and leave.")] = False,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes of each run, other than the budget's; needs --results."),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("build/reproduction"),
    results: Annotated[
        Path | None, typer.Option(help="JSON files of finished runs; the repository's own by default.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write docs/reproduction.md and its figures from them."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """See `_HELP`."""
    from rich.console import Console

    from models.reproduction.experiments import experiments
    from models.reproduction.fitting import Budget
    from models.reproduction.outcome import RESULTS, current, read_all
    from models.reproduction.running import is_done
    from models.reproduction.tables import print_tables

    if epochs is not None and results is None:
        raise UsageError(
            f"--epochs {epochs}: needs --results FOLDER, so that runs of another budget do not take the place of "
            "those the page shows"
        )
    wanted = [experiment for experiment in experiments() if only is None or only in experiment.key]
    if not wanted:
        raise UsageError(f"--only {only}: no run has that in its name; see strapwatch reproduce --list")
    budget = Budget() if epochs is None else Budget(epochs=epochs)
    kept = results or RESULTS
    found = read_all(kept)
    console = Console()
    if list_runs:
        for experiment in wanted:
            done = is_done(found.get(experiment.key), experiment, budget)
            console.print(f"{'done' if done else 'open'}  {experiment.key}", highlight=False, soft_wrap=True)
        return
    if minutes is None or minutes > 0:
        import torch

        from models.compiled_layers import keep_freed_memory

        torch.set_num_threads(threads)
        keep_freed_memory()
        until = None if minutes is None else monotonic() + 60 * minutes
        todo = [run for run in wanted if not is_done(found.get(run.key), run, budget)]
        _run_all(todo, budget, folder, kept, until, console)
        found = read_all(kept)
    found = current(found, budget)
    print_tables(found, console)
    if page is not None:
        from models.reproduction.page import write_page

        write_page(found, page)
        console.print(f"wrote {page}")


def _run_all(
    todo: "list[Experiment]",
    budget: "Budget",
    folder: Path,
    results: Path,
    until: float | None,
    console: "Console",
) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from models.reproduction.outcome import write
    from models.reproduction.running import run

    def out_of_time() -> bool:
        return until is not None and monotonic() >= until

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        runs = progress.add_task("runs", total=len(todo))
        for experiment in todo:
            if out_of_time():
                return
            epochs = progress.add_task(experiment.key, total=experiment.budget_of(budget).epochs)

            def report(epoch: int, loss: float, key: str = experiment.key, task: object = epochs) -> None:
                progress.update(task, completed=epoch)  # type: ignore[arg-type] # an id, whatever its type is called
                progress.print(f"{key}: epoch {epoch}, loss {loss:.4f}", highlight=False)

            outcome = run(experiment, budget, folder, report=report, stop=out_of_time)
            progress.remove_task(epochs)
            if outcome is None:
                return
            write(outcome, results)
            progress.advance(runs)
            share = outcome["figures"]
            progress.print(
                f"{experiment.key}: accuracy {share['accuracy']:.4f} (commonest class {share['baseline']:.4f}), "
                f"macro F1 {share['macro_f1']:.4f}; {asdict(experiment)['protocol']}",
                highlight=False,
            )
