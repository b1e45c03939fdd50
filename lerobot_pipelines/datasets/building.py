"""Building the large files of a dataset on this machine, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
        """The finished file; it may lie in the bucket itself, so it is only to be read."""
        if file.kind is FileKind.VIDEO:
            with self._video(file) as path:
                yield path
            return
        path = self._scratch / "building.parquet"
        try:
            if file.kind is FileKind.DATA:
                self._write_rows(file, path)
            else:
                self._write_descriptions(file, path)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _write_rows(self, file: LargeFile, path: Path) -> None:
        schema = data_schema(self._contents.schema.features, self._contents.format)
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
