"""``kill -9`` at any moment of recording loses no take that was submitted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from lerobot_pipelines.recorder.recovery import recover_recordings
from lerobot_pipelines_tests.recorder import takes

# The environment asks for more: the promise was proven with 50.
KILLS = int(os.environ.get("LEROBOT_PIPELINES_KILLS", "12"))


def test_every_submitted_take_is_whole_after_kills_at_random_moments(tmp_path: Path) -> None:
    chance = random.Random(9)
    submitted: list[int] = []
    with _recorders(tmp_path) as recorders:
        for kill in range(KILLS):
            submitted += _record_until_killed(recorders, 100 * kill, chance)
            if kill % 3 == 2:
                recover_recordings(tmp_path)
            # Else the next recorder finds what is left and goes on by itself.
    report = recover_recordings(tmp_path, interrupted="discard")
    assert report.failed == {}
    folders = sorted((tmp_path / "pick_up_the_block").iterdir())
    found = {takes.check(folder) for folder in folders}
    assert set(submitted) <= found
    # A take may be complete on the disk when the kill comes before its recorder says so.
    assert len(found - set(submitted)) <= 2 * KILLS
    assert submitted, "no take was finished before a kill"
    names = [folder.name for folder in folders]
    assert names == [f"episode_{number:04d}" for number in range(1, len(names) + 1)]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".take")] == []
    assert recover_recordings(tmp_path) == type(report)()


def _recorders(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", takes.__name__, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _record_until_killed(
    recorders: subprocess.Popen[str], first: int, chance: random.Random
) -> list[int]:
    """The numbers of the takes that were submitted before the kill."""
    assert recorders.stdin is not None and recorders.stdout is not None
    print(first, file=recorders.stdin, flush=True)
    heard = []
    # The kill comes at any moment: also before the first take is complete.
    wanted = chance.randrange(4)
    while len(heard) < wanted or not any(line.startswith("process") for line in heard):
        heard.append(recorders.stdout.readline().strip())
        assert heard[-1] not in ("", "dead"), "the recorder fell over by itself"
    (child,) = (int(line.split()[1]) for line in heard if line.startswith("process"))
    time.sleep(chance.uniform(0, 0.3))
    helper = [int(line.split()[1]) for line in heard if line.startswith("recorder")]
    if helper and chance.random() < 0.3:
        # The recorder's own process alone; it is replaced and the loop records on.
        os.kill(helper[0], signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.5))
    os.kill(child, signal.SIGKILL)
    while heard[-1] != "dead":
        heard.append(recorders.stdout.readline().strip())
    return [int(line) for line in heard if line.isdigit()]
