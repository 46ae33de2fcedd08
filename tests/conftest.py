"""Settings of the whole test run."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# The same examples in every run, and no limit on one example's time: the machines that run this are shared.
settings.register_profile("headway", derandomize=True, deadline=None)
settings.load_profile("headway")

# As the `headway` command does: grpc's core would write about connections of earlier tests into what later ones read.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# A shell starts what runs in the background with Ctrl-C ignored, and programs hand that on. Tests send programs Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
