"""Faults on purpose: what is broken in `chaos`, `fuzz` and `soak`, and how it is judged."""
