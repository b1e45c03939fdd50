"""Pictures out of mp4 files by torchcodec, on the CPU or a GPU. See ``frames`` for the contract."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines.loading.forks import PerProcess, keep_untouched
from lerobot_pipelines.loading.source import Picture


def torchcodec_reader(device: str) -> Callable[..., TorchcodecReader]:
    """The reader for a device. Raises ``ConfigError`` if torchcodec cannot be imported."""
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        raise ConfigError(f"decoder: torchcodec cannot be used here: {error}") from error

    def make(
        locate: Callable[[str], Path], fps: int, *, max_open: int, cache_bytes: int
    ) -> TorchcodecReader:
        return TorchcodecReader(locate, device, max_open=max_open, cache_bytes=cache_bytes)

    return make


class TorchcodecReader(PerProcess):
    """Pictures that will be asked for soon are decoded with those asked for, and kept as RGB."""

    SETTINGS = ("_locate", "_device", "_max_open", "_cache_bytes")

    def __init__(
        self, locate: Callable[[str], Path], device: str, *, max_open: int, cache_bytes: int
    ) -> None:
        self._locate = locate
        self._device = device
        self._max_open = max_open
        self._cache_bytes = cache_bytes
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._open: OrderedDict[str, Any] = OrderedDict()
        self._kept: OrderedDict[tuple[str, int], Picture] = OrderedDict()
        self._kept_bytes = 0

    def read(self, name: str, numbers: Sequence[int], keep: range | None) -> list[Picture]:
        if os.getpid() != self._process:
            keep_untouched(self._lock, self._open, self._kept)
            self._start()
        with self._lock:
            wanted = set(numbers)
            if any(
                number in (keep or ()) and (name, number) not in self._kept for number in wanted
            ):
                wanted |= set(keep or ())
            found = {n: self._kept[name, n] for n in wanted if (name, n) in self._kept}
            missing = sorted(wanted - set(found))
            if missing:
                found.update(zip(missing, self._decode(name, missing), strict=True))
                for number in missing:
                    if keep is not None and number in keep:
                        self._keep((name, number), found[number])
        return [found[number] for number in numbers]

    def _decode(self, name: str, numbers: list[int]) -> list[Picture]:
        path = self._locate(name)
        try:
            frames = self._decoder(name, path).get_frames_at(indices=numbers).data
        except (RuntimeError, IndexError, ValueError) as fault:
            raise Refused(Reason.CORRUPT_ARTIFACT, f"{path} cannot be decoded: {fault}") from fault
        return list(frames.permute(0, 2, 3, 1).contiguous().cpu().numpy())

    def _decoder(self, name: str, path: Path) -> Any:
        from torchcodec.decoders import VideoDecoder

        if name not in self._open:
            self._open[name] = VideoDecoder(
                str(path), seek_mode="approximate", device=self._device, num_ffmpeg_threads=1
            )
            if len(self._open) > self._max_open:
                self._open.popitem(last=False)
        self._open.move_to_end(name)
        return self._open[name]

    def _keep(self, key: tuple[str, int], picture: Picture) -> None:
        self._kept[key] = picture
        self._kept_bytes += picture.nbytes
        while self._kept_bytes > self._cache_bytes and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.nbytes
