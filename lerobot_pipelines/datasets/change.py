"""What must be written and deleted to get from the dataset that lies there to the wanted one."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets import v21, v30
from lerobot_pipelines.datasets.card import CARD_PATH, card
from lerobot_pipelines.datasets.commit import Plan, sha256
from lerobot_pipelines.datasets.contents import Contents, FileKind, LargeFile, unchanged_episodes
from lerobot_pipelines.datasets.describing import INFO_PATH, Statistics, episode_statistics
from lerobot_pipelines.datasets.folding import fold_totals
from lerobot_pipelines.datasets.ledger import Snapshot, Totals
from lerobot_pipelines.datasets.members import Episode
from lerobot_pipelines.datasets.provenance import PROVENANCE_PATH, provenance
from lerobot_pipelines.datasets.reading import RecordReader
from lerobot_pipelines.datasets.recovery import Standing
from lerobot_pipelines.datasets.stamping import stamped
from lerobot_pipelines.storage.base import ObjectNotFound, Storage, TellsVersions

# Statistics are wanted twice in a row: for the totals and for the episode's own description.
_KEPT_STATISTICS = 16


class Change:
    """Reads the metadata files it continues, and the records of episodes that it describes anew."""

    def __init__(
        self,
        storage: Storage,
        root: str,
        standing: Standing,
        old: Contents | None,
        contents: Contents,
        reader: RecordReader,
    ) -> None:
        self._storage = storage
        self._root = root
        self._standing = standing
        self._contents = contents
        self._reader = reader
        self._old = old
        self._unchanged = unchanged_episodes(contents, old)
        self._statistics_by_index = functools.lru_cache(_KEPT_STATISTICS)(self._statistics)

    def statistics_of(self, episode: Episode) -> Statistics:
        return self._statistics_by_index(episode.index)

    def planned(self, snapshot: Snapshot, *, adds: bool) -> tuple[Plan, Snapshot]:
        """The plan, and ``snapshot`` completed with what only making the metadata tells."""
        standing, claims = self._standing, self._standing.claims
        snapshot = snapshot.model_copy(update={"totals": self._totals()})
        metas = self._metas(snapshot.totals)
        settled = self._settled()
        wanted = large_files(self._contents, settled)
        there = self._there(settled)
        old_metas = standing.snapshot.metas if standing.snapshot and standing.trusted else {}
        if not self._owns_card():
            metas.pop(CARD_PATH, None)
            old_metas = {path: one for path, one in old_metas.items() if path != CARD_PATH}
        digests = {path: sha256(data) for path, data in metas.items()}
        changed = [
            path
            for path, digest in digests.items()
            # What another writer may have been about to change is put beyond its reach.
            if standing.pending or path in standing.edited or old_metas.get(path) != digest
        ]
        kept = {file.path for file in wanted} | set(metas)
        fences = self._fences(kept, there)
        out_of_use = {*there, *old_metas, *standing.edited, *claims.writes, *claims.deletes}
        out_of_use |= {*self._untrusted()}
        plan = Plan(
            format=self._contents.format,
            files=tuple(
                file
                for file in wanted
                if claims.hold(file.path)
                or file.path in standing.edited
                or there.get(file.path) != file.identity
            ),
            metas={path: metas[path] for path in changed if path != INFO_PATH},
            info=metas.get(INFO_PATH),
            info_is_new=INFO_PATH in changed,
            deletes=tuple(sorted(out_of_use - kept - {*fences, *snapshot.fences})),
            fences=fences,
            reached=there,
            known={*out_of_use, *snapshot.fences},
            has_rivals=bool(standing.pending),
            is_first=self._old is None or not standing.trusted or not self._old.episodes,
            adds=adds,
        )
        lasting = {*snapshot.fences, *filter(_is_rows, claims.writes)}
        if plan.format is Format.V21 and not isinstance(self._storage, TellsVersions):
            # Files without rows stay there.
            lasting |= {path for path in plan.deletes if _is_rows(path)}
        return plan, snapshot.model_copy(
            update={"metas": digests, "fences": tuple(sorted(lasting))}
        )

    def _fences(self, kept: Collection[str], there: Collection[str]) -> dict[str, FileKind]:
        """Places where lerobot would read what an overtaken writer may still send, and that hold
        nothing that is wanted, or something that is not any more."""
        before = self._standing.snapshot
        places = {path for path in self._standing.claims.writes if _is_rows(path)}
        if before is not None:
            # Those of another schema would not go with the rows beside them.
            is_same = before.layout == self._contents.schema
            places |= {path for path in before.fences if not is_same or path in there}
        return {
            path: FileKind.DATA if path.startswith("data/") else FileKind.EPISODES
            for path in places - {*kept}
        }

    def _owns_card(self) -> bool:
        """Whether the README is not one that somebody else wrote or changed."""
        try:
            data = self._storage.read(f"{self._root}/{CARD_PATH}")
        except ObjectNotFound:
            return True
        before = self._standing.snapshot
        known = self._standing.claims.writes.get(CARD_PATH, frozenset())
        own = before.metas.get(CARD_PATH) if before else None
        return sha256(data) in known | {own}

    def _untrusted(self) -> list[str]:
        """Where files of the dataset may lie that are not to be relied on."""
        if self._old is None or self._standing.trusted:
            return []
        return [file.path for file in large_files(self._old)]

    def _settled(self) -> int:
        """How many leading episodes lie as they are wanted, in files that need no second look.

        What is left is what an append costs, however many episodes there are.
        """
        standing, old, new = self._standing, self._old, self._contents
        if old is None or not standing.is_intact:
            return 0
        if (old.options, old.schema) != (new.options, new.schema):
            return 0
        if old.generation != new.generation:
            return 0
        if new.format is Format.V30:
            return min(self._unchanged, v30.unmoved_episodes(new, old))
        return self._unchanged

    def _there(self, settled: int) -> dict[str, str]:
        """The large files that the old info.json reaches, with their identities."""
        if self._old is None or not self._standing.trusted:
            return {}
        return {file.path: file.identity for file in large_files(self._old, settled)}

    def _totals(self) -> Totals:
        if self._contents.format is not Format.V30:
            return Totals()
        known, start = self._standing.snapshot, Totals()
        old = self._old.episodes if self._old else ()
        new = self._contents.episodes
        if known is not None and self._unchanged == len(old):
            start, new = known.totals, new[len(old) :]
        return fold_totals(
            start, new, self._contents.schema, self._reader.segment, self.statistics_of
        )

    def _metas(self, totals: Totals) -> dict[str, bytes]:
        if not self._contents.episodes:
            return {}  # lerobot cannot load a dataset without episodes
        if self._contents.format is Format.V30:
            own = v30.metadata(self._contents, totals)
        else:
            own = v21.metadata(self._contents, self._unchanged, self._old_lines, self.statistics_of)
        described = {
            CARD_PATH: card(self._contents),
            PROVENANCE_PATH: provenance(self._contents),
        }
        stamp = self._contents.stamp
        return {
            path: data if path.endswith(".parquet") else stamped(data, stamp)
            for path, data in {**described, **own}.items()
        }

    def _old_lines(self, path: str) -> Sequence[bytes]:
        if self._standing.snapshot is None:
            return []
        try:
            data = self._storage.read(f"{self._root}/{path}")
        except ObjectNotFound:
            return []
        if sha256(data) != self._standing.snapshot.metas.get(path):
            return []
        return data.splitlines(keepends=True)

    def _statistics(self, index: int) -> Statistics:
        episode = self._contents.episodes[index]
        segment = self._reader.segment(episode)
        return episode_statistics(episode, segment, self._contents.schema)


def _is_rows(path: str) -> bool:
    return path.startswith(("data/", "meta/episodes/"))


def large_files(contents: Contents, settled: int = 0) -> list[LargeFile]:
    """The large files that hold episode ``settled`` or one after it."""
    files_of = v30.large_files if contents.format is Format.V30 else v21.large_files
    return files_of(contents, settled)
