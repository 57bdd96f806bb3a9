"""What all tests need: signals as a terminal gives them."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background has SIGINT ignored, and every child would inherit that; the tests of
# Ctrl-C need a process that hears it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
