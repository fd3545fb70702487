"""A line about work under way: renewed in place on a terminal, a line each otherwise."""
import sys
import time

STARTED = time.monotonic()


def tell(text):
    line = f"{time.monotonic() - STARTED:7.0f} s  {text}"
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{line:<100}" if end == "\r" else line, end=end, file=sys.stderr, flush=True)
