"""Pictures to videos: decode, encode, statistics, and reading and joining of the mp4 files."""

from lerobot_pipelines.video.contact_sheet import contact_sheet
from lerobot_pipelines.video.decode import decode_frames
from lerobot_pipelines.video.encode import encode_cameras
from lerobot_pipelines.video.join import concatenate, cut
from lerobot_pipelines.video.probe import VideoProbe, probe

__all__ = [
    "VideoProbe",
    "concatenate",
    "contact_sheet",
    "cut",
    "decode_frames",
    "encode_cameras",
    "probe",
]
