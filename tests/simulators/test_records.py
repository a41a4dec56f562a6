"""WFDB records: what is read is what the file says, and what is wrong is named in one line."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES
from monitor.errors import RecordError
from simulators.annotations import read_truth
from simulators.excerpt import COUPLETS_S, EXCERPT_FROM, read_excerpt
from simulators.records import data_folder, find_record, list_leads, quantise, read_record, records_in

_RATE_HZ = 250


def _two_leads(n: int = 1000) -> NDArray[np.float64]:
    time_s = np.arange(n) / _RATE_HZ
    return np.stack([np.sin(2 * np.pi * time_s), 0.5 * np.cos(3 * np.pi * time_s)], axis=1)


def _write(
    folder: Path,
    name: str = "r",
    *,
    signal: NDArray[np.float64] | None = None,
    rate_hz: float = _RATE_HZ,
    leads: tuple[str, ...] = ("V5", "MLII"),
    fmt: str = "16",
    unit: str = "mV",
    gain: float = 200.0,
) -> Path:
    signal = _two_leads() if signal is None else signal
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=[unit] * len(leads),
        sig_name=list(leads),
        p_signal=signal[:, : len(leads)],
        fmt=[fmt] * len(leads),
        adc_gain=[gain] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(folder),
    )
    return folder / name


def _refusal(path: Path | str, *, lead: str | int | None = None) -> str:
    with pytest.raises(RecordError) as caught:
        read_record(path, lead=lead)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_reads_what_was_written(tmp_path: Path) -> None:
    """Millivolts come back to half a count, and are exactly what counts and scale say."""
    signal = _two_leads()
    record = read_record(_write(tmp_path, signal=signal), lead="V5")
    assert record.rate_hz == _RATE_HZ
    assert record.name == f"{tmp_path.name}/r"
    assert record.microvolts_per_count == 5.0
    np.testing.assert_allclose(record.millivolts, signal[:, 0], atol=0.0026)
    np.testing.assert_array_equal(record.millivolts, record.counts * np.float32(0.005))
    assert record.truth is None


def test_usual_lead_wherever_it_stands(tmp_path: Path) -> None:
    """MLII is taken where the record has it, else the first; names, any case, and indices choose."""
    path = _write(tmp_path)
    assert list_leads(path) == ("V5", "MLII")
    assert read_record(path).lead == "MLII"
    assert [read_record(path, lead=lead).lead for lead in ("mlii", "0", 1, "V5")] == [
        "MLII",
        "V5",
        "MLII",
        "V5",
    ]
    assert read_record(_write(tmp_path, "other", leads=("V4", "MLIII"))).lead == "V4"


def test_gaps_are_kept_as_nan(tmp_path: Path) -> None:
    """Samples that the file marks as missing stay NaN, and 0 on the wire."""
    signal = _two_leads()
    signal[100:200] = np.nan
    record = read_record(_write(tmp_path, signal=signal))
    np.testing.assert_array_equal(np.flatnonzero(~record.valid), np.arange(100, 200))
    assert not record.counts[100:200].any()


@pytest.mark.parametrize(("unit", "gain"), [("uV", 0.2), ("V", 200_000.0)])
def test_units(tmp_path: Path, unit: str, gain: float) -> None:
    """A record in another unit of voltage gives the same millivolts."""
    factor = {"uV": 1e3, "V": 1e-3}[unit]
    record = read_record(_write(tmp_path, signal=_two_leads() * factor, unit=unit, gain=gain), lead=0)
    np.testing.assert_allclose(record.millivolts, _two_leads()[:, 0], atol=0.0026)


def test_wide_counts_are_rescaled(tmp_path: Path) -> None:
    """A 32-bit record on a large offset fits into int16 with less than a microvolt lost."""
    signal = _two_leads() + 300.0
    record = read_record(_write(tmp_path, signal=signal, fmt="32", gain=1e6), lead=0)
    assert record.microvolts_per_count < 1.0
    wanted = signal[:, 0] - np.median(signal[:, 0])
    np.testing.assert_allclose(record.millivolts, wanted, atol=1e-3)


def test_quantise_refuses_what_is_no_ecg() -> None:
    """A signal of kilovolts is named, not clipped."""
    with pytest.raises(RecordError, match=r"x\.dat: signal reaches .* no ECG"):
        quantise(np.array([0.0, 1e6, -1e6]), file="x.dat")


def test_missing_record(tmp_path: Path) -> None:
    """The text names the header that is missing, and what to do."""
    text = _refusal("mitdb/nosuch")
    assert "mitdb/nosuch.hea" in text
    assert "STRAPWATCH_DATA" in text
    assert "strapwatch records fetch mitdb nosuch" in text
    assert "a folder, not a record" in _refusal(tmp_path)
    assert str(tmp_path / "r.hea") in _refusal(tmp_path / "r")
    # Where that lies depends on no environment.
    assert "STRAPWATCH_DATA" not in _refusal(tmp_path / "r")


def test_missing_signal_file(tmp_path: Path) -> None:
    """A header without its signal file is refused by the file's name."""
    path = _write(tmp_path)
    path.with_suffix(".dat").unlink()
    assert "r.dat: missing" in _refusal(path)


def test_truncated(tmp_path: Path) -> None:
    """A signal file cut short is named with both lengths."""
    path = _write(tmp_path)
    file = path.with_suffix(".dat")
    file.write_bytes(file.read_bytes()[:-2])
    assert "r.dat: truncated, 3998 bytes where the header promises 4000" in _refusal(path)


@pytest.mark.parametrize("fmt", ["16", "212"])
def test_header_and_data_disagree(tmp_path: Path, fmt: str) -> None:
    """A file that is too long, or whose checksum or first sample is not the header's, is refused."""
    path = _write(tmp_path, fmt=fmt)
    file = path.with_suffix(".dat")
    content = file.read_bytes()
    file.write_bytes(content + content[:12])
    assert "header and data disagree" in _refusal(path)
    changed = bytearray(content)
    changed[600] ^= 0x11
    file.write_bytes(bytes(changed))
    assert "checksum" in _refusal(path, lead=0)


def test_empty_header(tmp_path: Path) -> None:
    """A header without a byte is called empty, not by what a parser stumbled over."""
    _write(tmp_path).with_suffix(".hea").write_bytes(b"")
    assert _refusal(tmp_path / "r") == f"{tmp_path / 'r.hea'}: the file is empty"


def test_damaged_header(tmp_path: Path) -> None:
    """A header that is no header is refused by its name."""
    path = _write(tmp_path)
    for content in (
        b"",
        b"\x00\xff\x13garbage\n\n",
        b"r two 250 1000\n",
        b"r 2 250 1000\nr.dat 16\n",
        b"r 2 250\n",
    ):
        path.with_suffix(".hea").write_bytes(content)
        assert "r.hea: " in _refusal(path), content


def test_empty(tmp_path: Path) -> None:
    """No lead, no sample, no byte: each is an empty record."""
    path = _write(tmp_path)
    path.with_suffix(".dat").write_bytes(b"")
    assert "r.dat: empty record" in _refusal(path)
    path.with_suffix(".hea").write_text("r 0 250 0\n")
    assert "r.hea: empty record" in _refusal(path)
    path.with_suffix(".hea").write_text("r 1 250 0\nr.dat 16 200 16 0 0 0 0 MLII\n")
    assert "empty record" in _refusal(path)


def test_unknown_lead(tmp_path: Path) -> None:
    """A lead that is not there is refused with those that are."""
    path = _write(tmp_path)
    for lead in ("V9", 2, -1, "7"):
        assert "there are 0 V5, 1 MLII" in _refusal(path, lead=lead)


@pytest.mark.parametrize("rate_hz", [50, 99.9, 1000.5, 5000])
def test_rate_out_of_range(tmp_path: Path, rate_hz: float) -> None:
    """A rate outside 100 to 1,000 Hz is refused with the range."""
    assert f"sampling rate is {rate_hz:g} Hz; 100 to 1000 Hz" in _refusal(_write(tmp_path, rate_hz=rate_hz))


def test_no_valid_sample_and_flat(tmp_path: Path) -> None:
    """A lead of nothing but NaN and a lead of one value are refused, each for its reason."""
    nothing = _two_leads()
    nothing[:, 1] = np.nan
    assert "MLII holds no valid sample" in _refusal(_write(tmp_path, "nothing", signal=nothing))
    flat = _two_leads()
    flat[:, 1] = 0.5
    path = _write(tmp_path, "flat", signal=flat)
    assert "MLII is flat" in _refusal(path)
    assert read_record(path, lead="V5").lead == "V5"


def test_unit_that_is_no_voltage(tmp_path: Path) -> None:
    """A lead of pressure is refused."""
    assert "'mmHg' of the lead is no voltage" in _refusal(_write(tmp_path, unit="mmHg"))


def test_annotations(tmp_path: Path) -> None:
    """Symbols become classes, non-beats are dropped, flutter becomes an interval, open flutter lasts to the end."""
    path = _write(tmp_path)
    symbols = ["+", "N", "A", "V", "F", "/", "[", "!", "]", "~", "L", "["]
    samples = np.array([1, 10, 100, 200, 300, 400, 450, 500, 550, 560, 600, 900])
    wfdb.wrann("r", "atr", samples, symbol=symbols, write_dir=str(tmp_path), fs=_RATE_HZ)
    truth = read_record(path).truth
    assert truth is not None
    np.testing.assert_array_equal(truth.r_samples, [10, 100, 200, 300, 400, 600])
    assert truth.class_names == ["N", "S", "V", "F", "Q", "N"]
    np.testing.assert_array_equal(truth.unscored, [[450, 550], [900, 1000]])
    part = truth.between(200, 500)
    np.testing.assert_array_equal(part.r_samples, [200, 300, 400])
    np.testing.assert_array_equal(part.unscored, [[450, 500]])
    np.testing.assert_array_equal(truth.is_scored(np.array([449, 450, 549, 550])), [True, False, False, True])


def test_damaged_annotations(tmp_path: Path) -> None:
    """Missing or damaged annotations are refused by the file's name."""
    path = _write(tmp_path)
    with pytest.raises(RecordError, match=r"r\.atr: no such annotation file"):
        read_truth(path, rate_hz=_RATE_HZ)
    path.with_suffix(".atr").write_bytes(b"\x01\x02\x03")
    assert "r.atr: damaged" in _refusal(path)


def test_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the folder; a database may be the folder of databases or one of them."""
    database = tmp_path / "mydb"
    database.mkdir()
    _write(database)
    monkeypatch.setenv("STRAPWATCH_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    assert read_record("mydb/r").name == "mydb/r"
    monkeypatch.delenv("STRAPWATCH_DATA")
    assert data_folder().name == "strapwatch"
    for name, folder in (
        ("r", database),
        ("mydb/r", database),
        ("mydb/r", tmp_path),
        (database / "r.hea", None),
    ):
        assert find_record(name, database=folder) == database / "r"
    assert records_in(database) == (database / "r",)
    with pytest.raises(RecordError, match="holds no record"):
        records_in(tmp_path)
    with pytest.raises(RecordError, match="no such folder"):
        records_in(tmp_path / "none")


def test_excerpt() -> None:
    """The excerpt is five minutes of 208 in millivolts, and says that it is an excerpt."""
    record = read_excerpt()
    assert (record.name, record.rate_hz, record.lead, len(record)) == ("mitdb/208", 360.0, "MLII", 108_000)
    assert record.excerpt_from == EXCERPT_FROM
    assert record.truth is None
    assert 2.0 < float(record.millivolts.max()) < 5.0
    assert all(0.0 < at_s < 300.0 for at_s in COUPLETS_S)


def test_excerpt_is_of_208(recordings: Path) -> None:
    """The excerpt equals the recording it was cut from, count by count, and holds couplets where it says so."""
    excerpt, whole = read_excerpt(), read_record("mitdb/208", database=recordings)
    end = EXCERPT_FROM + len(excerpt)
    np.testing.assert_array_equal(excerpt.counts, whole.counts[EXCERPT_FROM:end])
    assert excerpt.microvolts_per_count == whole.microvolts_per_count
    assert whole.truth is not None
    for at_s in COUPLETS_S:
        middle = EXCERPT_FROM + int(at_s * 360)
        near = whole.truth.between(middle - 720, middle + 1080).class_names
        assert ("V", "V") in pairwise(near)


def test_all_of_mitdb(recordings: Path) -> None:
    """Every record of mitdb is read, and its beats number what the database is known to hold."""
    beats: Counter[str] = Counter()
    for path in records_in(recordings / "mitdb"):
        record = read_record(path)
        assert record.truth is not None
        beats.update(record.truth.class_names)
    assert dict(beats) == {"N": 90_631, "S": 2_781, "V": 7_236, "F": 803, "Q": 8_043}
    assert set(beats) == set(AAMI_CLASSES)


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    """A name that is left empty, such as a shell variable that was not set, is said to be none."""
    with pytest.raises(RecordError, match="no record's name"):
        find_record(name)
