"""The line from packets to alarms: pure streaming stages, with input and output at the two ends only."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("strapwatch")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
