from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lerobot_pipelines.cli.suggestion import suggest
from lerobot_pipelines.config import load_config
from lerobot_pipelines.model import Clock, EpisodeSource, Member, StreamKind, StreamReport


def stream(name: str, rate_hz: float | None = 30.0, **details: Any) -> StreamReport:
    kind = StreamKind.PICTURE if "image" in name else StreamKind.VECTOR
    count = 300 if rate_hz else 1
    return StreamReport(
        *(name, kind, name, Clock.RECEIVE, count, 0, 10**10, rate_hz, None, None, details)
    )


def suggestion(folder: Path, *streams: StreamReport) -> tuple[str, dict[str, Any]]:
    """The text, and what it says; it must be a sound configuration whatever the names."""
    source = EpisodeSource("task/e.bag", folder / "raw", (Member("task/e.bag", 1, "x"),), "file:x")
    text = suggest(source, streams)
    (folder / "suggested.yaml").write_text(text)
    load_config(folder / "suggested.yaml")
    return text, yaml.safe_load(text)


def test_commands_make_the_action_and_measurements_the_state(tmp_path: Path) -> None:
    _, config = suggestion(
        *(tmp_path, stream("/head/image_raw"), stream("/joint_states"), stream("/joint_cmd"))
    )
    assert config["features"] == {
        "observation.state": {"parts": [{"stream": "joint_states"}]},
        "action": {"parts": [{"stream": "joint_cmd"}]},
    }
    assert [camera["role"] for camera in config["cameras"]] == ["base"]
    assert config["storage"] == {"url": tmp_path.as_uri(), "raw_prefix": "raw"}


def test_what_is_no_joint_and_no_picture_of_use_is_left_out_and_named(tmp_path: Path) -> None:
    text, config = suggestion(
        tmp_path,
        stream("/head/image_raw"),
        stream("/head/image_depth_colored", encoding="jpeg"),
        stream("/battery"),
        stream("/arm", type="sensor_msgs/msg/JointState"),
        stream("/once_image", None),
    )
    assert [camera["topic"] for camera in config["cameras"]] == ["/head/image_raw"]
    assert [entry["topic"] for entry in config["streams"]] == ["/arm"]
    assert "/head/image_depth_colored, /battery, /once_image" in text


def test_depth_is_kept_metric_and_makes_no_rows(tmp_path: Path) -> None:
    _, config = suggestion(
        tmp_path,
        stream("/head/depth/image_raw", encoding="16UC1"),
        stream("/wrist/image_raw/compressed", encoding="jpeg"),
        stream("/joint_states"),
    )
    depth, colour = config["cameras"]
    assert (depth["feature"], depth["depth"], depth["role"]) == (
        *("observation.depth.head_depth", True, "sync"),
    )
    assert (colour["feature"], colour["role"]) == ("observation.images.wrist", "base")


@pytest.mark.parametrize(("skew_ms", "clock"), [(24.0, "header"), (-86_400_000.0, None)])
def test_stamps_are_the_sensors_own_where_they_are_of_the_recorders_clock(
    tmp_path: Path, skew_ms: float, clock: str | None
) -> None:
    skew = {"min": skew_ms - 1, "p50": skew_ms, "max": skew_ms + 1}
    _, config = suggestion(tmp_path, stream("/image", skew_ms=skew), stream("/joint"))
    assert config["cameras"][0].get("clock") == clock
    assert "clock" not in config["streams"][0]


@pytest.mark.parametrize(("rate_hz", "timeline"), [(30.1, "base"), (29.5, "uniform")])
def test_rows_follow_the_camera_only_where_its_rate_is_the_label(
    tmp_path: Path, rate_hz: float, timeline: str
) -> None:
    _, config = suggestion(tmp_path, stream("/image", rate_hz), stream("/joint", 20.0))
    assert config["dataset"]["fps"] == 30
    assert config["alignment"]["timeline"] == timeline
    assert config["alignment"]["tolerance_ms"] >= 25.0  # half the period of the joints


def test_names_that_shorten_alike_are_told_apart(tmp_path: Path) -> None:
    _, config = suggestion(
        tmp_path,
        *(stream("/a/cam/image_raw"), stream("/b/a/cam/image_raw/compressed")),
        *(stream("/robot 1/arm\n"), stream("/robot.1/arm")),
    )
    names = [entry["name"] for entry in [*config["cameras"], *config["streams"]]]
    assert len(set(names)) == 4
