"""What the encoders know: presets and qualities, for the rules and for the encoders."""

from __future__ import annotations

# x264's and x265's presets, the fastest first. SVT-AV1's numbers stand beside them in
# ``video.codecs``.
PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast", "medium"),
    *("slow", "slower", "veryslow", "placebo"),
)
HIGHEST_SVT_PRESET = 13
HIGHEST_CRF = {"h264": 51, "hevc": 51, "av1": 63}
