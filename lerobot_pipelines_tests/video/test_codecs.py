from __future__ import annotations

from typing import Any

import pytest

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.video.codecs import encoder_settings
from lerobot_pipelines_tests.video.recording import config


@pytest.mark.parametrize(
    ("video", "message"),
    [
        ({"codec": "h264", "crf": 55}, "video.crf is 55; h264 knows 0 to 51"),
        ({"codec": "h264", "preset": "7"}, "video.preset '7' is none of ultrafast"),
        ({"codec": "av1", "preset": "quick"}, "neither 0 to 13 nor a known name"),
        ({"codec": "av1", "pix_fmt": "yuv444p"}, "av1 is encoded as yuv420p only"),
        ({"size": (65, 48)}, "video.size 65x48 is odd"),
        ({"size": (0, 48)}, "video.size 0x48 is no size"),
        ({"codec": "copy", "size": (64, 48)}, "video.codec copy"),
    ],
)
def test_settings_the_codec_does_not_know_are_named(video: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        encoder_settings(config(**video).video)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"video.crf .*; video.preset"):
        encoder_settings(config(crf=60, preset="quick").video)


def test_the_number_of_threads_never_follows_from_the_machine() -> None:
    assert encoder_settings(config().video).threads == 4
    assert encoder_settings(config(threads=2).video).threads == 2


@pytest.mark.parametrize(("preset", "number"), [("medium", "7"), ("5", "5"), ("99", "13")])
def test_av1_takes_names_and_numbers_of_presets(preset: str, number: str) -> None:
    assert encoder_settings(config(codec="av1", preset=preset).video).options["preset"] == number
