"""The terminal dashboard: pure drawing on one side, Redis and widgets on the other.

Only `feed` reads Redis, and only `canvas`, `screens` and `app` know Textual; everything else turns values into values.
Start with `monitor.dashboard.app`.
"""
