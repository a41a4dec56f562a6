"""The PhysioNet databases that can be downloaded: what each holds, under which licence, and whom to cite."""

from dataclasses import dataclass
from typing import Final

PHYSIONET: Final = "https://physionet.org/files"
SUMS_FILE: Final = "SHA256SUMS.txt"

ODC_BY: Final = "Open Data Commons Attribution License v1.0 (https://opendatacommons.org/licenses/by/1-0/)"
PHYSIONET_CITATION: Final = (
    "A. L. Goldberger et al., PhysioBank, PhysioToolkit, and PhysioNet: Components of a New Research Resource for "
    "Complex Physiologic Signals, Circulation 101 (2000) e215-e220"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """One database on PhysioNet.

    Attributes
    ----------
    name : str
        As in its address, and the name of its folder here.
    title : str
        In full.
    version : str
        Which edition is downloaded.
    licence : str
        Under which it may be used.
    citation : str
        Whom to name, beside `PHYSIONET_CITATION`.
    """

    name: str
    title: str
    version: str = "1.0.0"
    licence: str = ODC_BY
    citation: str


DATABASES: Final = {
    database.name: database
    for database in (
        Database(
            name="mitdb",
            title="MIT-BIH Arrhythmia Database",
            citation="G. B. Moody, R. G. Mark, The impact of the MIT-BIH Arrhythmia Database, "
            "IEEE Eng. Med. Biol. 20 (2001) 45-50",
        ),
        Database(
            name="edb",
            title="European ST-T Database",
            citation="A. Taddei et al., The European ST-T Database: standard for evaluating systems for the "
            "analysis of ST-T changes in ambulatory electrocardiography, Eur. Heart J. 13 (1992) 1164-1172",
        ),
        Database(
            name="svdb",
            title="MIT-BIH Supraventricular Arrhythmia Database",
            citation="S. D. Greenwald, Improved detection and classification of arrhythmias in noise-corrupted "
            "electrocardiograms using contextual information, PhD thesis, Harvard-MIT (1990)",
        ),
        Database(
            name="nstdb",
            title="MIT-BIH Noise Stress Test Database",
            citation="G. B. Moody, W. E. Muldrow, R. G. Mark, A noise stress test for arrhythmia detectors, "
            "Computers in Cardiology 11 (1984) 381-384",
        ),
    )
}
