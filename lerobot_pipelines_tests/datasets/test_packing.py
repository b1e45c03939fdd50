from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from lerobot_pipelines.datasets.packing import JOIN_FILES, Capacity, EpisodeId, Load, repack

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=60)


def ids_of(count: int) -> list[EpisodeId]:
    return [(f"e{number:04d}", 0) for number in range(count)]


@settings(max_examples=80, deadline=None)
@given(SIZES, st.data())
def test_every_episode_lies_in_one_file_in_order_and_none_is_overfull(sizes, data) -> None:  # type: ignore[no-untyped-def]
    ids = ids_of(len(sizes))
    loads = {id_: Load(size, size) for id_, size in zip(ids, sizes, strict=True)}
    capacity = Capacity(50, frames=40)
    files: list[list[EpisodeId]] = []
    members: list[EpisodeId] = []
    added = 0
    while added < len(ids):
        step = data.draw(st.integers(1, 9))
        members += ids[added : added + step]
        added += step
        gone = data.draw(st.sets(st.sampled_from(members), max_size=2))
        members = [id_ for id_ in members if id_ not in gone]
        files = repack(files, members, loads.__getitem__, capacity)
        assert [id_ for file in files for id_ in file] == members
        for file in files:
            total = sum(loads[id_].bytes for id_ in file)
            assert len(file) == 1 or (total < 50 and total <= 40)
        assert repack(files, members, loads.__getitem__, capacity) == files


def test_appending_leaves_files_alone_but_for_the_sixteenth() -> None:
    ids = ids_of(300)
    capacity = Capacity(1000)
    files: list[list[EpisodeId]] = []
    copied = 0
    for count in range(1, len(ids) + 1):
        before = files
        files = repack(before, ids[:count], lambda _: Load(1), capacity)
        changed = [file for file in files if file not in before]
        assert len(changed) == 1
        copied += len(changed[0])
        assert len(files) <= 3 * (JOIN_FILES - 1)
    # Written once, then copied about once for each 16-fold growth.
    assert copied <= len(ids) * 4


@settings(max_examples=80, deadline=None)
@given(SIZES, st.data())
def test_appending_without_a_look_at_every_episode_gives_the_same_files(sizes, data) -> None:  # type: ignore[no-untyped-def]
    ids = ids_of(len(sizes))
    loads = {id_: Load(size, size) for id_, size in zip(ids, sizes, strict=True)}
    capacity = Capacity(data.draw(st.integers(40, 400)), frames=300)
    files: list[list[EpisodeId]] = []
    added = 0
    while added < len(ids):
        added += data.draw(st.integers(1, 9))
        whole = repack(files, ids[:added], loads.__getitem__, capacity)
        files = repack(files, ids[:added], loads.__getitem__, capacity, is_settled=True)
        assert files == whole


def test_only_what_was_encoded_alike_shares_a_file() -> None:
    ids = ids_of(4)
    encoding = dict(zip(ids, "aabb", strict=True))
    files = repack([], ids, lambda id_: Load(1, 1, encoding[id_]), Capacity(100))
    assert [len(file) for file in files] == [2, 2]


def test_an_episode_larger_than_a_file_has_one_of_its_own() -> None:
    ids = ids_of(3)
    size = dict(zip(ids, (1, 500, 1), strict=True))
    assert [len(file) for file in repack([], ids, lambda id_: Load(size[id_]), Capacity(100))] == [
        1,
        1,
        1,
    ]


def test_new_segments_of_an_old_recording_join_their_neighbours_file() -> None:
    ids = [("a", 0), ("a", 1), ("b", 0)]
    assert repack([[("a", 0)], [("b", 0)]], ids, lambda _: Load(1), Capacity(9)) == [
        [("a", 0), ("a", 1)],
        [("b", 0)],
    ]
