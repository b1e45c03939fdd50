"""``python -m lerobot_pipelines.cli`` is the program ``lerobot-pipelines``."""

from lerobot_pipelines.cli.program import main

# Worker processes import this module under another name and must not start a second program.
if __name__ == "__main__":
    main()
