"""How loud the noise in the Noise Stress Test Database is, measured as its own program does.

    python -m benchmarks.noise_levels

Prints the signal-to-noise ratio of every noisy stretch of 118e24, 118e12 and 118e00, in both leads, and from 118e00 the
factor that ``nst`` put on its noise record and the RMS which that record's first five minutes must have had.
"""

import sys
from typing import Final

from monitor.errors import StrapwatchError
from simulators.noise_mixture import fitted_factor, noisy_segments, stretch_levels_db
from simulators.records import find_record, read_record

_NAMES: Final = {"118e24": 24, "118e12": 12, "118e00": 0}


def main() -> int:
    """Print a line for each record and lead."""
    try:
        _print_levels()
    except StrapwatchError as error:
        print(f"noise_levels: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _print_levels() -> None:
    for lead in (0, 1):
        clean = read_record(find_record("mitdb/118"), lead=lead)
        begins = noisy_segments(clean.rate_hz, len(clean))[:, 0] / clean.rate_hz
        print(f"{clean.lead:6}  from s  {'  '.join(f'{begin:6.0f}' for begin in begins)}")
        for name in _NAMES:
            levels = stretch_levels_db(clean, read_record(find_record(f"nstdb/{name}"), lead=lead))
            print(f"{name}      dB  {'  '.join(f'{level:6.1f}' for level in levels)}")
        loudest = read_record(find_record("nstdb/118e00"), lead=lead)
        factor, rms = fitted_factor(clean, loudest, snr_db=0.0)
        print(f"118e00: factor {factor:.3f} on noise of RMS {rms:.1f} counts in its first five minutes\n")


if __name__ == "__main__":
    sys.exit(main())
