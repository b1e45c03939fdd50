"""Recordings with known truth: what each row of the converted dataset must hold can be computed.

Every picture carries the number it has within its camera as a barcode, and every joint is a known
function of time. The clocks behave like real ones: jitter, lost pictures, a hole where asked.
"""

from lerobot_pipelines.recordings.synth.barcode import BarcodeError, draw_picture, read_barcode
from lerobot_pipelines.recordings.synth.spec import (
    START_NS,
    SynthCamera,
    SynthSpec,
    SynthTruth,
    joint_value,
    synth_truth,
)
from lerobot_pipelines.recordings.synth.writer import write_recording

__all__ = [
    "START_NS",
    "BarcodeError",
    "SynthCamera",
    "SynthSpec",
    "SynthTruth",
    "draw_picture",
    "joint_value",
    "read_barcode",
    "synth_truth",
    "write_recording",
]
