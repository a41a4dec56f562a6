"""The line from packets to alarms: pure streaming stages, with input and output at the two ends only."""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    # Looked up only when asked for: the lookup takes longer than Python's own start, and Ctrl-C in it is a traceback.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("strapwatch")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+unknown"
