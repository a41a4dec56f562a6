"""The demo: broker, server, straps, monitor and dashboard in one go, each the same one that a user would start."""

from monitor.demo.cast import Part, cast
from monitor.demo.run import Demo, DemoOptions

__all__ = ["Demo", "DemoOptions", "Part", "cast"]
