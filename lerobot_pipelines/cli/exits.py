"""The exit codes of every command; scripts rely on them."""

from __future__ import annotations

OK = 0
INCOMPLETE = 1  # the command ran, and something in the data is wrong: listed on the output
USAGE = 2  # the command line or a configuration is wrong; nothing was done
NOTHING = 3  # there was nothing to work on
INTERRUPTED = 130  # as shells report SIGINT
BROKEN_PIPE = 141  # as shells report SIGPIPE
