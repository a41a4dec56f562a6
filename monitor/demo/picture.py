"""The README's picture: ``python -m monitor.demo.picture FOLDER`` runs a demo and draws what its dashboard shows."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final, NamedTuple

import models
from monitor.dashboard.picture import picture
from monitor.demo.cast import cast
from monitor.demo.run import Demo, DemoOptions
from monitor.errors import StrapwatchError

_LOOK_S: Final = 25.0


class _View(NamedTuple):
    width: int
    height: int
    keys: tuple[str, ...] = ()
    look_s: float = _LOOK_S
    until_alarm: bool = True


_VIEWS: Final = {
    "dashboard.svg": _View(200, 50),
    "dashboard-80x24.svg": _View(80, 24),
    # Scores and misses need a while to gather.
    "dashboard-alarms.svg": _View(120, 30, ("l",), 50.0, until_alarm=False),
    "dashboard-tester.svg": _View(160, 40, ("t",), 60.0, until_alarm=False),
    "dashboard-miss.svg": _View(120, 28, ("t", "tab", "d"), 60.0, until_alarm=False),
}


def main() -> int:
    """Draw the pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--athletes", type=int, default=8)
    arguments = parser.parse_args()
    card = Path(models.__file__).parent / "weights" / "grunet.json"
    options = DemoOptions(parts=cast(arguments.athletes, card=card), seconds=None, speed=1.0)

    async def draw(redis_url: str) -> None:
        drawn = await asyncio.gather(
            *(
                picture(
                    redis_url,
                    seconds=view.look_s,
                    width=view.width,
                    height=view.height,
                    until_alarm=view.until_alarm,
                    keys=view.keys,
                )
                for view in _VIEWS.values()
            )
        )
        for name, text in zip(_VIEWS, drawn, strict=True):
            (arguments.folder / name).write_text(text, encoding="utf-8")

    try:
        asyncio.run(Demo(options, say=lambda line: print(line, file=sys.stderr)).run(draw))
    except StrapwatchError as error:
        print(f"strapwatch: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
