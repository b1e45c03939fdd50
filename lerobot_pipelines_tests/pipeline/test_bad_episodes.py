"""One bucket with sound and spoiled episodes: each gets its own verdict, none costs another."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.pipeline.convert import ConvertSummary, convert_dataset
from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording

SPEC = SynthSpec(
    seconds=1.2,
    cameras=(SynthCamera("cam", 25.0, width=64, height=48),),
    arms=("left", "right"),
    joints_per_arm=2,
)


class Episode:
    def __init__(self, raw: Path, key: str) -> None:
        self.joints, self.images = raw / "joints" / key, raw / "images" / key

    @property
    def left(self) -> Path:
        return self.joints / "left.parquet"

    def pictures(self) -> list[Path]:
        return sorted((self.images / "cam").iterdir())

    def each(self, spoil: Callable[[Path], object], step: int = 1) -> None:
        for path in self.pictures()[::step]:
            spoil(path)

    def edit(self, change: Callable[[dict[str, np.ndarray]], None]) -> None:
        columns = {n: c.to_numpy().copy() for n, c in _columns(pq.read_table(self.left)).items()}
        change(columns)
        pq.write_table(pa.table(columns), self.left)


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _mix_units(columns: dict[str, np.ndarray]) -> None:
    columns["timestamps"][100:] *= 1000


def _shuffle_and_repeat(columns: dict[str, np.ndarray]) -> None:
    order = np.random.default_rng(1).permutation(len(columns["timestamps"]))
    order = np.concatenate([order, order[:50]])
    for name in columns:
        columns[name] = columns[name][order]


def _lose_stamps(columns: dict[str, np.ndarray]) -> None:
    del columns["timestamps"]


def _lose_numbers(columns: dict[str, np.ndarray]) -> None:
    columns["joint_0"][::3] = np.nan


SOUND: dict[str, Callable[[Episode], object]] = {
    "block/as it is, [really]...": lambda episode: None,
    "抓取/第一次": lambda episode: None,
    "block/one_picture_cut": lambda episode: _cut(episode.pictures()[9]),
    "block/unsorted_and_repeated": lambda episode: episode.edit(_shuffle_and_repeat),
    "block/strays": lambda episode: [
        (episode.images / "cam" / name).write_bytes(b"x")
        for name in ("1764167571999999.jpg.part", ".hidden.jpg", "notes.txt")
    ],
}

SPOILED: dict[str, tuple[Callable[[Episode], object], str]] = {
    "bad/no_camera": (lambda e: shutil.rmtree(e.images), "missing_camera"),
    "bad/empty_camera": (lambda e: e.each(Path.unlink), "missing_camera"),
    "bad/no_arm": (lambda e: e.left.unlink(), "missing_stream"),
    "bad/empty_arm": (lambda e: e.left.write_bytes(b""), "corrupt_container"),
    "bad/cut_arm": (lambda e: _cut(e.left), "corrupt_container"),
    "bad/text_arm": (lambda e: e.left.write_text("timestamps,joint_0"), "corrupt_container"),
    "bad/no_stamps": (lambda e: e.edit(_lose_stamps), "missing_field"),
    "bad/mixed_units": (lambda e: e.edit(_mix_units), "bad_stamps"),
    "bad/lost_numbers": (lambda e: e.edit(_lose_numbers), "non_finite"),
    "bad/cut_pictures": (lambda e: e.each(_cut, 3), "corrupt_picture"),
    "bad/text_pictures": (lambda e: e.each(lambda p: p.write_text("404")), "corrupt_picture"),
    "bad/unnamed_pictures": (
        lambda e: [p.rename(p.with_name(f"frame_{i}.jpg")) for i, p in enumerate(e.pictures())],
        "bad_stamps",
    ),
    "bad/other_day": (
        lambda e: e.each(lambda p: p.rename(p.with_name("18" + p.name[2:]))),
        "no_overlap",
    ),
}


def _config(bucket: Path) -> DatasetConfig:
    parts = [{"stream": "left"}, {"stream": "right"}]
    return DatasetConfig.model_validate(
        {
            "dataset": {"name": "bad_input", "fps": 25},
            "storage": {"url": bucket.as_uri()},
            "streams": [{"name": "left"}, {"name": "right"}],
            "cameras": [{"name": "cam", "role": "base", "feature": "observation.images.cam"}],
            "features": {"observation.state": {"parts": parts}, "action": {"parts": parts}},
            "alignment": {"rate_tolerance": 0.2},
            "video": {"preset": "ultrafast"},
        }
    )


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> ConvertSummary:
    bucket = tmp_path_factory.mktemp("bad_input")
    raw = bucket / "raw"
    write_recording(raw, "block/template", SPEC)
    template = Episode(raw, "block/template")
    for key, spoil in {**SOUND, **{key: spoil for key, (spoil, _) in SPOILED.items()}}.items():
        episode = Episode(raw, key)
        shutil.copytree(template.joints, episode.joints)
        shutil.copytree(template.images, episode.images)
        spoil(episode)
    shutil.copytree(template.joints, raw / "joints" / "block" / "line\nbreak")
    return convert_dataset(_config(bucket))


def test_every_sound_episode_is_in_the_dataset(summary: ConvertSummary) -> None:
    outcomes = {outcome.key: outcome for outcome in summary.episodes}
    for key in ("block/template", *SOUND):
        assert outcomes[key].status == "converted", outcomes[key]
        assert outcomes[key].rows >= 25
    (update,) = summary.datasets
    assert sorted(update.added) == sorted(("block/template", *SOUND))


@pytest.mark.parametrize("key", list(SPOILED))
def test_every_spoiled_episode_is_refused_with_its_reason(
    summary: ConvertSummary, key: str
) -> None:
    outcome = {outcome.key: outcome for outcome in summary.episodes}[key]
    assert (outcome.status, outcome.reason) == ("refused", SPOILED[key][1]), outcome
    assert len(outcome.message) > 20


def test_no_episode_is_forgotten(summary: ConvertSummary) -> None:
    keys = {outcome.key for outcome in summary.episodes}
    assert keys == {"block/template", *SOUND, *SPOILED}
