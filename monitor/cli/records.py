"""``strapwatch records``: recordings on this machine, and their download from PhysioNet."""

import json as json_format
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import typer

from monitor.errors import StrapwatchError, UsageError

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from rich.console import Console

    from simulators.databases import Database
    from simulators.download import Fetched
    from simulators.record_library import RecordDetails

_HELP: Final = """List recordings, download them from PhysioNet, and look at one.

They lie in the folder named by STRAPWATCH_DATA, else in your own data folder, a folder for each database.

[bold]Example[/bold]: two records of the MIT-BIH Arrhythmia Database, and what is in one

  strapwatch records fetch mitdb 208 119

  strapwatch records info mitdb/208
"""
_PLAIN_WIDTH: Final = 200
_WHAT_TO_DO: Final = "strapwatch records fetch DATABASE downloads one: mitdb, edb, svdb or nstdb"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    commands = typer.Typer(help=_HELP, rich_markup_mode="rich", no_args_is_help=True)
    commands.command("list")(list_records)
    commands.command("fetch")(fetch)
    commands.command("info")(info)
    app.add_typer(commands, name="records")


def list_records(
    database: Annotated[
        str | None,
        typer.Argument(metavar="DATABASE", help="Each record of this one; else a line a database."),
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """List the recordings on this machine.

    [bold]Example[/bold]

      strapwatch records list mitdb
    """
    from dataclasses import asdict

    from simulators.record_library import library
    from simulators.records import DATA_VARIABLE, check_folder, data_folder

    root = data_folder()
    # One's own data folder need not be there before the first download; one that was named should be.
    if os.environ.get(DATA_VARIABLE):
        check_folder(root, named=DATA_VARIABLE)
    folders = library(root)
    if database is not None:
        folders = [folder for folder in folders if folder.name == database]
        if not folders:
            raise StrapwatchError(f"{root / database}: no such database here; {_WHAT_TO_DO}")
    if json:
        typer.echo(
            json_format.dumps({"folder": str(root), "databases": [asdict(f) for f in folders]}, indent=2)
        )
        return
    if not folders:
        typer.echo(f"no recordings in {root}; {_WHAT_TO_DO}", err=True)
        return
    if database is None:
        _print_table(
            f"recordings in {root}",
            ("database", "records", "damaged", "hours", "rates", "annotated", "size"),
            [
                (
                    folder.name,
                    str(len(folder.records)),
                    str(len(folder.damaged) or ""),
                    f"{sum(record.seconds for record in folder.records) / 3600:.1f}",
                    ", ".join(f"{rate:g} Hz" for rate in sorted({r.rate_hz for r in folder.records})),
                    str(sum(record.annotated for record in folder.records)),
                    _size(sum(record.bytes for record in folder.records)),
                )
                for folder in folders
            ],
        )
    else:
        _print_table(
            f"{root / database}",
            ("record", "length", "rate", "leads", "annotated", "size"),
            [
                (
                    record.name,
                    _length(record.seconds),
                    f"{record.rate_hz:g} Hz",
                    ", ".join(record.leads),
                    "yes" if record.annotated else "no",
                    _size(record.bytes),
                )
                for folder in folders
                for record in folder.records
            ],
        )
    for folder in folders:
        for reason in folder.damaged.values():
            typer.echo(f"damaged: {reason}", err=True)


def fetch(
    database: Annotated[str, typer.Argument(metavar="DATABASE", help="mitdb, edb, svdb or nstdb.")],
    records: Annotated[
        list[str] | None, typer.Argument(metavar="[RECORD]...", help="Names of records; all if left out.")
    ] = None,
    *,
    into: Annotated[
        Path | None,
        typer.Option("--into", metavar="DIR", help="Folder of databases; else where they are looked for."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="Another server with the same files (https)."),
    ] = None,
) -> None:
    """Download recordings from PhysioNet and verify their SHA-256.

    Four files at a time; what an interrupted download left is gone on with, and nothing that is there already comes
    again. A file gets its name only once it is what the database lists.

    [bold]Example[/bold]

      strapwatch records fetch edb e0103 e0808
    """
    from simulators import download
    from simulators.databases import DATABASES, PHYSIONET
    from simulators.records import data_folder

    chosen = DATABASES.get(database)
    if chosen is None:
        raise UsageError(f"no database {database!r} to download; there are {', '.join(DATABASES)}")
    names = [name.removeprefix(f"{database}/") for name in records or ()]
    with _Bars() as bars:
        fetched = download.fetch(
            chosen,
            names,
            into=into.expanduser() if into is not None else data_folder(),
            source=source or PHYSIONET,
            watcher=bars,
        )
    if fetched.records:
        _say_what_came(fetched, chosen)
    for reason in fetched.refused.values():
        typer.echo(f"strapwatch: {reason}", err=True)
    if fetched.refused:
        raise typer.Exit(1)


def info(
    record: Annotated[str, typer.Argument(metavar="RECORD", help="Such as mitdb/208, or a path.")],
    *,
    lead: Annotated[
        str | None,
        typer.Option("--lead", metavar="NAME|INDEX", help="Lead; MLII where there is one, else the first."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Tell what a record holds: leads, length, beats by class, rhythms, and whether the classifier knows it.

    [bold]Example[/bold]

      strapwatch records info mitdb/208
    """
    from dataclasses import asdict

    from models.card import read_card
    from monitor.recordings import is_listed
    from simulators.databases import DATABASES
    from simulators.record_library import details

    told = details(record, lead=lead)
    card = read_card(_shipped_weights())
    trained_on = is_listed(told.summary.name, card.training_records)
    database = DATABASES.get(told.folder.name)
    if json:
        described: dict[str, Any] = asdict(told) | {"folder": str(told.folder), "trained_on": trained_on}
        typer.echo(json_format.dumps(described, indent=2))
        return
    for name, text in _described(told, database, trained_on=trained_on):
        typer.echo(f"{name:<12}{text}")


def _described(
    told: "RecordDetails", database: "Database | None", *, trained_on: bool
) -> list[tuple[str, str]]:
    summary = told.summary
    beats = sum(told.classes.values())
    shares = ", ".join(f"{name} {count:,}" for name, count in told.classes.items())
    lines = [
        ("record", f"{summary.name}, in {told.folder}"),
        ("length", f"{_length(summary.seconds)} at {summary.rate_hz:g} Hz, {_size(summary.bytes)}"),
        ("leads", ", ".join(f"{name} (read)" if name == told.read_lead else name for name in summary.leads)),
        ("beats", f"{beats:,}: {shares}" if beats else "no reference annotations"),
    ]
    if told.symbols:
        lines.append(("symbols", ", ".join(f"{symbol} {count:,}" for symbol, count in told.symbols.items())))
    if told.rhythms:
        lines.append(("rhythms", ", ".join(f"{name} {_length(s)}" for name, s in told.rhythms.items())))
    if told.invalid_s:
        lines.append(("no signal", f"{told.invalid_s:.1f} s"))
    lines += [("remark", comment) for comment in told.comments if comment]
    lines.append(("files", {"no list": "no list of SHA-256 beside them"}.get(told.checksum, told.checksum)))
    lines.append(("classifier", "trained on it" if trained_on else "has never seen it"))
    if database is not None:
        lines += [("database", database.title), ("licence", database.licence), ("cite", database.citation)]
    return lines


def _shipped_weights() -> Path:
    # The module with the constant imports torch, which takes seconds.
    from importlib.resources import files

    return Path(str(files("models"))) / "weights" / "grunet.safetensors"


def _say_what_came(fetched: "Fetched", database: "Database") -> None:
    from simulators.databases import PHYSIONET_CITATION

    new = len(fetched.records) - len(fetched.there_already)
    count = len(fetched.records)
    typer.echo(
        f"{count} record{'' if count == 1 else 's'} of the {database.title} in {fetched.folder}: {new} new, "
        f"{_size(fetched.downloaded_bytes)} downloaded, every file's SHA-256 as listed"
    )
    typer.echo(f"licence: {database.licence}")
    typer.echo(f"cite: {database.citation}")
    typer.echo(f"      {PHYSIONET_CITATION}")


class _Bars:
    """A bar for each file that is coming, on standard error; nothing where that is no terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._verified = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._progress.stop()

    def begun(self, name: str, done: int, total: int | None) -> None:
        """Show a bar."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=None)
        self._progress.update(self._tasks[name], completed=done, total=total)

    def came(self, name: str, count: int) -> None:
        """Let it grow."""
        self._progress.advance(self._tasks[name], count)

    def verified(self, name: str) -> None:
        """Take it away."""
        self._verified += 1
        if name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))

    def troubled(self, name: str, reason: str) -> None:
        """Say what went wrong above the bars."""
        self._console.print(f"{name}: {reason}, trying again", highlight=False, markup=False, soft_wrap=True)


def _print_table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    right = {"records", "damaged", "hours", "annotated", "size", "length"}
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"
