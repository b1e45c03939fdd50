"""Writes a made-up recording as joint parquet and JPEG folders."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path

import numpy as np

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.recordings.layout import METADATA_NAME
from lerobot_pipelines.recordings.stamps import UNIT_NS
from lerobot_pipelines.recordings.synth.barcode import draw_picture
from lerobot_pipelines.recordings.synth.spec import (
    START_NS,
    SynthSpec,
    SynthTruth,
    TimeUnit,
    joint_value,
    synth_truth,
)
from lerobot_pipelines.storage.names import check_key

JPEG_QUALITY = 90


def write_recording(root: Path, key: str, spec: SynthSpec) -> None:
    """Write the episode ``key`` below ``root``, the folder of the raw prefix; replace an old one.

    The split layout gives ``joints/<key>/<arm>.parquet`` and ``images/<key>/<camera>/<stamp>.jpg``,
    the other ``<key>/joints/...`` and ``<key>/images/...``. ``<root>/../truth/<key>.json`` gets
    the stamps of every stream. The files appear folder by folder, each complete.
    """
    check_key(key)
    truth = synth_truth(spec)
    root.mkdir(parents=True, exist_ok=True)
    work = root / f".synth-{secrets.token_hex(6)}"
    try:
        _write_joints(work / "joints", spec, truth)
        _write_images(work / "images", spec, truth)
        metadata = json.dumps({"task": spec.task, "operator": "synthetic"}, indent=1)
        if spec.layout == "split":
            (work / "joints" / METADATA_NAME).write_text(metadata)
            _replace(work / "images", root / "images" / key)
            _replace(work / "joints", root / "joints" / key)
        else:
            (work / METADATA_NAME).write_text(metadata)
            _replace(work, root / key)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _write_truth(root.parent / "truth" / f"{key}.json", spec, truth)


def _write_joints(folder: Path, spec: SynthSpec, truth: SynthTruth) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for arm, name in enumerate(spec.arms):
        stamps = truth.arms[name]
        time_s = (stamps - START_NS) / UNIT_NS["s"]
        columns: dict[str, object] = {"timestamps": _column(stamps, spec.time_unit)}
        for joint in range(spec.joints_per_arm):
            columns[f"joint_{joint}"] = joint_value(arm, joint, time_s)
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def _column(
    stamps: Stamps, unit: TimeUnit
) -> Stamps | np.ndarray[tuple[int], np.dtype[np.float64]]:
    if unit == "s":
        return stamps // UNIT_NS["s"] + stamps % UNIT_NS["s"] / UNIT_NS["s"]
    return stamps // UNIT_NS[unit]


def _write_images(folder: Path, spec: SynthSpec, truth: SynthTruth) -> None:
    from PIL import Image

    for hue, camera in enumerate(spec.cameras):
        (folder / camera.name).mkdir(parents=True)
        for number, stamp in enumerate(truth.cameras[camera.name].tolist()):
            picture = draw_picture(number, camera.width, camera.height, hue)
            path = folder / camera.name / f"{_stem(stamp, spec.time_unit)}.jpg"
            Image.fromarray(picture).save(path, "JPEG", quality=JPEG_QUALITY)


def _stem(stamp_ns: int, unit: TimeUnit) -> str:
    if unit == "s":
        seconds, rest_ns = divmod(stamp_ns, UNIT_NS["s"])
        return f"{seconds}.{rest_ns // UNIT_NS['us']:06d}"
    return str(stamp_ns // UNIT_NS[unit])


def _replace(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)


def _write_truth(path: Path, spec: SynthSpec, truth: SynthTruth) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "start_ns": START_NS,
        "task": spec.task,
        "cameras": {name: stamps.tolist() for name, stamps in truth.cameras.items()},
        "arms": {name: stamps.tolist() for name, stamps in truth.arms.items()},
    }
    path.write_text(json.dumps(content))
