"""Cameras, the rows' rate and the encoders fit together."""

from __future__ import annotations

import pytest

from lerobot_pipelines_tests.config.loading import SOUND, Loader

BASE = "{name: cam_high, role: base}"


@pytest.mark.parametrize(
    ("cameras", "key", "words"),
    [
        (f"[{BASE}, {{name: b, role: base}}]", "cameras[1].role", '"cam_high" is base already'),
        ("[]", "cameras", "alignment.timeline: uniform"),
        ("[{name: a, role: base, required: false}]", "cameras[0].required", "must be true"),
        (f"[{BASE}, {{name: b, role: downsample}}]", "cameras[1]", "target_fps: 25"),
        (
            f"[{BASE}, {{name: b, role: downsample, target_fps: 20}}]",
            "cameras[1].target_fps",
            "20 is less than dataset.fps 25",
        ),
        (
            "[{name: a, role: downsample, target_fps: 25}, {name: b}]",
            "cameras[0].role",
            "give one camera role: base",
        ),
        ("[{name: a, role: base, target_fps: 30}]", "cameras[0].target_fps", "not dataset.fps 25"),
        ("[{name: a, target_fps: 30}]", "cameras[0].target_fps", "not dataset.fps 25"),
        ("[{name: a}, {name: a, feature: b}]", "cameras[1].name", "is used twice"),
        ("[{name: a}, {name: b, feature: observation.images.a}]", "cameras[1].feature", "own"),
        ("[{name: a/b}]", "cameras[0].name", "observation.images.a.b"),
        ("[{name: a, feature: index}]", "cameras[0].feature", "LeRobot adds itself"),
        ("[{name: ..}]", "cameras[0].name", 'holds the part ".."'),
        ("[{name: a, folder: ../x}]", "cameras[0].folder", 'holds the part ".."'),
        ("[{name: a, depth_range_m: [2, 1]}]", "cameras[0].depth_range_m", "is no range"),
        ("[{name: a, start_s: 0}]", "cameras[0].start_s", "without rate_hz"),
        ("[{name: a, rate_hz: 25, start_s: 1.0e+19}]", "cameras[0].start_s", "counts seconds"),
        ("[{name: a, role: bas}]", "cameras[0].role", 'did you mean "base"?'),
    ],
)
def test_cameras(loader: Loader, cameras: str, key: str, words: str) -> None:
    fault = loader.faults(loader.changed(cameras=cameras))[key]
    assert words in fault.message
    assert fault.line == 8


def test_without_cameras_rows_may_be_uniform(loader: Loader) -> None:
    text = loader.changed(cameras="[]") + "alignment: {timeline: uniform}\n"
    assert loader.load(text).base_camera is None


def test_with_uniform_rows_the_base_may_run_at_another_rate(loader: Loader) -> None:
    text = loader.changed(cameras="[{name: a, role: base, target_fps: 30}]")
    assert loader.load(text + "alignment: {timeline: uniform}\n").dataset.fps == 25


def test_the_first_camera_is_the_base_where_none_is_named(loader: Loader) -> None:
    base = loader.load(loader.changed(cameras="[{name: a}, {name: b}]")).base_camera
    assert base is not None
    assert base.name == "a"


@pytest.mark.parametrize(
    ("dataset", "rate", "fps"),
    [("{name: a}", "25", 25), ("{name: a}", "29.97", 30), ("{name: a, fps: 30}", "30", 30)],
)
def test_the_rate_of_the_base_is_the_rows_where_nothing_else_is_said(
    loader: Loader, dataset: str, rate: str, fps: int
) -> None:
    text = loader.changed(dataset=dataset, cameras=f"[{{name: a, role: base, target_fps: {rate}}}]")
    assert loader.load(text).dataset.fps == fps


@pytest.mark.parametrize(
    ("video", "key", "words"),
    [
        ("{crf: 52}", "crf", "h264 knows 0 to 51"),
        ("{codec: hevc, crf: 52}", "crf", "hevc knows 0 to 51"),
        ("{codec: av1, crf: 64}", "crf", "it must be at most 63"),
        ("{preset: mediun}", "preset", 'did you mean "medium"?'),
        ("{preset: '8'}", "preset", "is not known to h264"),
        ("{codec: hevc, preset: '3'}", "preset", "is not known to hevc"),
        ("{codec: av1, preset: '14'}", "preset", "or 0 to 13"),
        ("{codec: av1, preset: quick}", "preset", "is not known to av1"),
        ("{codec: av1, pix_fmt: yuv444p}", "pix_fmt", "use yuv420p"),
        ("{codec: copy, size: [640, 480]}", "size", "cannot be had with codec copy"),
        ("{codec: copy, size_change: scale}", "size_change", "must be refuse"),
        ("{size: [641, 480]}", "size", "is odd"),
        ("{size: [640, 481]}", "size", "is odd"),
        ("{size: [0, 480]}", "size", "is no size"),
        ("{gop: 0}", "gop", "it must be at least 1"),
    ],
)
def test_encoders(loader: Loader, video: str, key: str, words: str) -> None:
    faults = loader.faults(SOUND + f"video: {video}\n")
    assert list(faults) == [f"video.{key}"]
    assert words in faults[f"video.{key}"].message


@pytest.mark.parametrize(
    "video",
    [
        *("{codec: av1, crf: 63, preset: '13'}", "{codec: av1, preset: 0}", "{codec: av1}"),
        *("{codec: copy, crf: 60, preset: none}", "{pix_fmt: yuv444p, size: [641, 481]}"),
        *("{pix_fmt: yuv422p, size: [640, 481]}", "{codec: hevc, preset: placebo}"),
    ],
)
def test_encoders_that_are_sound(loader: Loader, video: str) -> None:
    loader.load(SOUND + f"video: {video}\n")
