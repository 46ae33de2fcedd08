"""Settings of the whole test run."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run, and no limit on one example's time: the machines that run this are shared.
settings.register_profile("headway", derandomize=True, deadline=None)
settings.load_profile("headway")
