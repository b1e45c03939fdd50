"""The command line: the same core as under Dagster, for people and scripts.

One file per command in ``commands``; what several of them share lies beside this file. A command's
module is imported when it is named or listed, and imports the core inside its functions, so that
``--help`` answers at once.
"""

from lerobot_pipelines.cli.program import main

__all__ = ["main"]
