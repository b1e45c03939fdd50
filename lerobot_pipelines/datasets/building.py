"""Building the large files of a dataset on this machine, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lerobot_pipelines.datasets.contents import Contents, FileKind, LargeFile
from lerobot_pipelines.datasets.describing import Statistics
from lerobot_pipelines.datasets.features import default_columns
from lerobot_pipelines.datasets.members import Episode
from lerobot_pipelines.datasets.placing import episode_places
from lerobot_pipelines.datasets.reading import ArtifactReader
from lerobot_pipelines.datasets.tables import Columns, data_schema, write_data
from lerobot_pipelines.datasets.tables_v30 import write_episodes

_LOOKS_AT_ONCE = 8


class Builder:
    """Rows come from the episodes' parquet, videos from their mp4 files without decoding them."""

    def __init__(
        self,
        contents: Contents,
        artifacts: ArtifactReader,
        statistics_of: Callable[[Episode], Statistics],
        scratch: Path,
    ) -> None:
        self._contents = contents
        self._artifacts = artifacts
        self._statistics_of = statistics_of
        self._scratch = scratch

    def object_of(self, file: LargeFile) -> str | None:
        """The key of an object in the bucket that is the file already, if there is one."""
        if file.kind is not FileKind.VIDEO or len(file.episodes) != 1:
            return None
        assert file.camera is not None
        return self._artifacts.video_object(file.episodes[0], file.camera)

    @contextmanager
    def built(self, file: LargeFile) -> Iterator[Path]:
        """A finished video; it may lie in the bucket itself, so it is only to be read."""
        with self._video(file) as path:
            yield path

    def prepare(self, files: Iterable[LargeFile]) -> dict[str, Path]:
        """The finished parquet files by path; they lie in the scratch folder."""
        found = {}
        for number, file in enumerate(files):
            path = self._scratch / f"{number:06d}.parquet"
            if file.kind is FileKind.DATA:
                self._write_rows(file, path)
            else:
                self._write_descriptions(file, path)
            found[file.path] = path
        return found

    def look_at(self, files: Iterable[LargeFile]) -> None:
        """Raises ``ArtifactMissing`` unless every part of these videos is as its record says."""
        parts = [
            (episode, file.camera)
            for file in files
            for episode in file.episodes
            if file.camera is not None
        ]
        with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
            found = list(pool.map(lambda part: self._artifacts.video_object(*part), parts))
        for part, key in zip(parts, found, strict=True):
            if key is None:
                self._artifacts.release(self._artifacts.video(*part))

    def without_rows(self, kind: FileKind) -> Path:
        """A parquet file that takes a place in a folder and adds nothing to what is read there."""
        path = self._scratch / f"{kind.value}-without-rows.parquet"
        contents = self._contents
        if path.exists():
            return path
        if kind is FileKind.DATA:
            schema = data_schema(contents.schema.features, contents.format, contents.stamp)
            write_data(path, schema, (), contents.format)
        else:
            write_episodes(path, contents, (), {}, self._statistics_of)
        return path

    def _write_rows(self, file: LargeFile, path: Path) -> None:
        contents = self._contents
        schema = data_schema(contents.schema.features, contents.format, contents.stamp)
        write_data(path, schema, map(self._columns, file.episodes), self._contents.format)

    def _columns(self, episode: Episode) -> Columns:
        frames = self._artifacts.frames(episode)
        first = episode.segment.first_row
        rows = slice(first, first + episode.length)
        return {name: values[rows] for name, values in frames.features.items()} | default_columns(
            length=episode.length,
            fps=self._contents.schema.fps,
            episode_index=episode.index,
            first_index=episode.first_index,
            task_index=episode.task_index,
        )

    def _write_descriptions(self, file: LargeFile, path: Path) -> None:
        places = episode_places(self._contents, file.episodes[0].index)
        write_episodes(path, self._contents, file.episodes, places, self._statistics_of)

    @contextmanager
    def _video(self, file: LargeFile) -> Iterator[Path]:
        assert file.camera is not None
        with ExitStack() as stack:
            parts = []
            for episode in file.episodes:
                part = self._artifacts.video(episode, file.camera)
                stack.callback(self._artifacts.release, part)
                parts.append(part)
            if len(parts) == 1:
                yield parts[0]
                return
            yield stack.enter_context(self._joined(parts))

    @contextmanager
    def _joined(self, parts: list[Path]) -> Iterator[Path]:
        from lerobot_pipelines.video import concatenate

        path = self._scratch / "joined.mp4"
        try:
            concatenate(parts, path)
            yield path
        finally:
            path.unlink(missing_ok=True)
