"""One miss in full: the signal as the strap sent it, what the monitor told above it, what the reference says below."""

from typing import Final

import numpy as np

from monitor.boot_scorer import UNEXPLAINED
from monitor.dashboard import palette
from monitor.dashboard.alarm_list import clock
from monitor.dashboard.drawing import Line, wrap
from monitor.dashboard.palette import DIM, PLAIN, paint
from monitor.dashboard.strip_lines import Marks, Ribbon, strip_lines
from monitor.dashboard.tester import cause_words, miss_words
from monitor.scores import HOLE, Miss

_HEADING: Final = paint(palette.BRIGHT, bold=True)


def miss_lines(miss: Miss, name: str, width: int, height: int) -> list[Line]:
    """Draw a miss.

    Parameters
    ----------
    miss : Miss
        What differs, with the signal around it.
    name : str
        What the athlete is called on screen.
    width, height : int
        Cells.

    Returns
    -------
    list of Line
        At most `height` lines.
    """
    at = clock(miss.at) if miss.at else "unknown time"
    where = f"  {at}, sample {miss.r_sample:,} of boot {miss.boot}"
    head = [Line((f" {name}  {miss_words(miss)}", _HEADING), (where, DIM))]
    head += [Line((f" {part}", PLAIN)) for part in wrap(_sentence(miss), width - 2, 2)]
    if not miss.microvolts:
        none = Line((" No strip: the scorer did not hear this boot of the strap.", DIM))
        return [*head, none][:height]
    millivolts = np.frombuffer(miss.microvolts, "<i2").astype(np.float32)
    millivolts[millivolts == HOLE] = np.nan
    ribbon = Ribbon(
        millivolts=millivolts / np.float32(1000.0),
        rate_hz=miss.rate_hz,
        first_sample=miss.first_sample,
        zero_sample=miss.r_sample,
        above=Marks("monitor", dict(miss.beats), wanted=miss.kind != "missed"),
        below=Marks("truth", dict(miss.truth), wanted=miss.kind != "false"),
        chosen=True,
        stretches=[(first, end, cause_words(cause)) for first, end, cause in miss.troubles],
    )
    return [*head, *strip_lines(ribbon, width, height - len(head))]


def _sentence(miss: Miss) -> str:
    if miss.kind == "missed":
        said = f"The reference has a beat ({miss.reference}) here, the monitor found none."
    elif miss.kind == "false":
        said = f"The monitor told a beat ({miss.called}), the reference has none within 150 ms."
    else:
        said = f"The reference calls this beat {miss.reference}, the monitor {miss.called}."
    if miss.cause == UNEXPLAINED:
        return f"{said} Nothing in the ledger explains it: this is the monitor's own."
    return f"{said} What is known of this place: {cause_words(miss.cause)}."
