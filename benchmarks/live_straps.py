"""The straps of `benchmarks.live`: real records, over and over, as one process that says how late it was.

``python -m benchmarks.live_straps 1000 --broker mqtt://127.0.0.1:1883 --seconds 60``; prints a `HerdReport` and its
processor seconds as JSON.
"""

import argparse
import asyncio
import sys
import time
from typing import Final

import msgspec
import numpy as np
from scipy.signal import resample

from monitor.sources import parse_mqtt_url
from simulators.herd import Herd
from simulators.records import Record, data_folder, read_record, record_of_counts, records_in
from simulators.strap import Strap

TEAM: Final = "load"
DATABASE: Final = "mitdb"
RATE_HZ: Final = 360.0
_ANALYSED_S: Final = 600.0
_STEP_S: Final = 7.3


def athlete_name(index: int) -> str:
    """Return the pseudonym of one of the straps."""
    return f"a{index:05d}"


def load_records(mean_bpm: float) -> list[Record]:
    """Return the first lead of all records of the database, ten minutes each, at a mean heart rate.

    The database's own mean is 76 beats a minute. Above it, the time of every record runs faster by one factor: hearts
    beat as much faster, and complexes are as much narrower.
    """
    records = [read_record(stem, lead=0) for stem in records_in(data_folder() / DATABASE)]
    if not records:
        sys.exit(f"no records of {DATABASE}; set STRAPWATCH_DATA to the folder with the databases")
    beats = sum(0 if record.truth is None else len(record.truth.r_samples) for record in records)
    own_bpm = 60.0 * beats / sum(len(record) / record.rate_hz for record in records)
    return [_faster(record, max(mean_bpm / own_bpm, 1.0)) for record in records]


def _faster(record: Record, factor: float) -> Record:
    samples = int(_ANALYSED_S * record.rate_hz)
    counts = record.counts[:samples]
    if factor > 1.0:
        source = record.counts[: int(samples * factor)].astype(np.float32)
        limits = np.iinfo(np.int16)
        counts = np.clip(np.rint(resample(source, int(len(source) / factor))), limits.min, limits.max).astype(
            np.int16
        )
    return record_of_counts(
        name=record.name,
        rate_hz=record.rate_hz,
        # One name for all, so that all frames are of one layout.
        lead="first",
        counts=np.ascontiguousarray(counts),
        microvolts_per_count=record.microvolts_per_count,
    )


def straps_of(records: list[Record], number: int, *, packet_s: float, boot: int) -> list[Strap]:
    """Return straps that replay the records in turn, each from somewhere else."""
    return [
        Strap(
            record=record,
            team=TEAM,
            athlete=athlete_name(index),
            strap=f"s{index:05d}",
            boot=boot,
            packet_s=packet_s,
            start_s=(index * _STEP_S) % (_ANALYSED_S - 1.0),
            loop=True,
        )
        for index in range(number)
        for record in (records[index % len(records)],)
    ]


def main() -> int:
    """Run the straps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("straps", type=int)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--packet-s", type=float, default=0.25)
    parser.add_argument("--bpm", type=float, default=75.0)
    arguments = parser.parse_args()
    records = load_records(arguments.bpm)
    straps = straps_of(records, arguments.straps, packet_s=arguments.packet_s, boot=int(time.time()))
    herd = Herd(straps, broker=parse_mqtt_url(arguments.broker))
    # Reading and resampling records is no part of sending.
    begun_s = time.process_time()
    report = asyncio.run(herd.run(seconds=arguments.seconds))
    said = msgspec.to_builtins(report) | {"cpu_s": time.process_time() - begun_s}
    print(msgspec.json.encode(said).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
