from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lerobot_pipelines.recordings import open_recording, source_from_path
from lerobot_pipelines.recordings.synth import (
    START_NS,
    BarcodeError,
    SynthCamera,
    SynthSpec,
    draw_picture,
    joint_value,
    read_barcode,
    synth_truth,
    write_recording,
)

KEY = "block/episode_0001"
SPEC = SynthSpec(
    seconds=1.0,
    cameras=(SynthCamera("cam_high", 25.0, drop_fraction=0.2), SynthCamera("cam_right", 30.0)),
    arms=("left_slave", "left_master"),
    joints_per_arm=3,
)


def _pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _variant(**changes: object) -> SynthSpec:
    return SynthSpec(**{name: getattr(SPEC, name) for name in SPEC.__slots__} | changes)


@pytest.mark.parametrize("layout", ["split", "episode"])
@pytest.mark.parametrize(("unit", "error_ns"), [("s", 200), ("ms", 0), ("us", 0), ("ns", 0)])
def test_the_reader_finds_the_truth_again(
    tmp_path: Path, layout: str, unit: str, error_ns: int
) -> None:
    spec = _variant(layout=layout, time_unit=unit)
    truth = synth_truth(spec)
    write_recording(tmp_path / "raw", KEY, spec)
    folder = tmp_path / "raw" / (KEY if layout == "episode" else f"joints/{KEY}")
    recording = open_recording(source_from_path(folder))
    assert recording.faults == []
    assert recording.metadata["task"] == spec.task
    assert recording.source.key == (KEY.rpartition("/")[2] if layout == "episode" else KEY)
    for name, stamps in truth.cameras.items():
        assert recording.timestamps(name).tolist() == stamps.tolist()
        assert recording.streams[name].details["time_unit"] == unit
    for arm, (name, stamps) in enumerate(truth.arms.items()):
        np.testing.assert_allclose(recording.timestamps(name) - stamps, 0, atol=error_ns)
        time_s = (stamps - START_NS) / 1e9
        expected = np.stack([joint_value(arm, j, time_s) for j in range(3)], axis=1)
        np.testing.assert_allclose(recording.vectors(name), expected, atol=1e-12)
    ids = {name: np.arange(len(stamps)) for name, stamps in truth.cameras.items()}
    for picture in recording.pictures(ids):
        assert read_barcode(_pixels(picture.data)) == picture.id


def test_truth_lies_beside_the_raw_folder(tmp_path: Path) -> None:
    write_recording(tmp_path / "raw", KEY, SPEC)
    truth = json.loads((tmp_path / "truth" / f"{KEY}.json").read_text())
    assert truth["cameras"]["cam_high"] == synth_truth(SPEC).cameras["cam_high"].tolist()
    assert truth["start_ns"] == START_NS
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["images", "joints"]


def test_equal_specs_make_equal_files_and_another_seed_others(tmp_path: Path) -> None:
    def written(name: str, spec: SynthSpec) -> dict[str, bytes]:
        root = tmp_path / name
        write_recording(root, KEY, spec)
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.*") if p.is_file()}

    first = written("a", SPEC)
    assert written("b", SPEC) == first
    assert written("b", _variant(seed=1)).keys() != first.keys()


def test_clocks_jitter_drop_and_pause_as_asked() -> None:
    spec = SynthSpec(
        seconds=20.0,
        cameras=(SynthCamera("a", 25.0, drop_fraction=0.1), SynthCamera("b", 30.0)),
        gap=("b", 5.0, 2.0),
    )
    truth = synth_truth(spec)
    assert len(truth.cameras["a"]) == pytest.approx(450, abs=25)
    steps_ms = np.diff(truth.cameras["b"]) / 1e6
    assert float(np.median(steps_ms)) == pytest.approx(1000 / 30, rel=0.03)
    assert float(steps_ms.max()) == pytest.approx(2000, abs=80)
    assert 1.0 < float(np.std(steps_ms[steps_ms < 500])) < 6.0
    assert len(truth.arms["left_slave"]) == pytest.approx(5000, abs=2)
    assert all((np.diff(stamps) > 0).all() for stamps in truth.arms.values())
    more = SynthSpec(seconds=20.0, cameras=(*spec.cameras, SynthCamera("c")), gap=spec.gap)
    assert synth_truth(more).cameras["a"].tolist() == truth.cameras["a"].tolist()


@pytest.mark.parametrize("size", [(160, 120), (64, 48), (161, 121)])
def test_barcodes_survive_strong_compression(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    numbers = [0, 1, 2, 255, 256, 40_000, 65_535]
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("libx264", rate=25, options={"crf": "34"})
        stream.width, stream.height, stream.pix_fmt = width // 2 * 2, height // 2 * 2, "yuv420p"
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(draw_picture(number, width, height), "rgb24")
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode())
    with av.open(str(path)) as clip:
        decoded = [read_barcode(f.to_ndarray(format="rgb24")) for f in clip.decode(video=0)]
    assert decoded == numbers


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_without_a_barcode_is_an_error_not_a_number(value: int) -> None:
    with pytest.raises(BarcodeError):
        read_barcode(np.full((120, 160, 3), value, np.uint8))


def test_half_of_another_picture_is_noticed() -> None:
    mixed = draw_picture(1000, 160, 120)
    mixed[:40] = draw_picture(2000, 160, 120)[:40]
    with pytest.raises(BarcodeError):
        read_barcode(mixed)


def test_joint_zero_tells_the_time_and_the_arm() -> None:
    assert joint_value(2, 0, 1.5) == pytest.approx(2.15)
    speeds = np.diff(joint_value(1, 5, np.arange(0, 10, 1e-3))) / 1e-3
    assert np.abs(speeds).max() < 1.0


def test_an_episode_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_recording(tmp_path / "raw", KEY, SPEC)
    write_recording(tmp_path / "raw", KEY, _variant(seed=5, cameras=(SynthCamera("other"),)))
    cameras = [path.name for path in (tmp_path / "raw" / "images" / KEY).iterdir()]
    assert cameras == ["other"]


def test_names_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too small"):
        draw_picture(0, 32, 24)
    with pytest.raises(Exception, match="bad_name"):
        write_recording(tmp_path / "raw", "../out", SPEC)
