"""The README's picture: ``python -m monitor.demo.picture FOLDER`` runs a demo and draws what its dashboard shows."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final

import models
from monitor.dashboard.picture import picture
from monitor.demo.cast import cast
from monitor.demo.run import Demo, DemoOptions
from monitor.errors import StrapwatchError

_SIZES: Final = {"dashboard.svg": (200, 50), "dashboard-80x24.svg": (80, 24)}
_LOOK_S: Final = 25.0


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
                picture(redis_url, seconds=_LOOK_S, width=width, height=height, until_alarm=True)
                for width, height in _SIZES.values()
            )
        )
        for name, text in zip(_SIZES, drawn, strict=True):
            (arguments.folder / name).write_text(text, encoding="utf-8")

    try:
        asyncio.run(Demo(options, say=lambda line: print(line, file=sys.stderr)).run(draw))
    except StrapwatchError as error:
        print(f"strapwatch: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
