from __future__ import annotations

import copy
import pickle

from lerobot_pipelines.loading.epochs import Consumed, EpochBook, Pass


def ten(drawn: object, weights: object) -> list[int]:
    return [10]


def test_workers_of_one_pass_find_the_same_number_and_later_passes_another() -> None:
    book = EpochBook(1)
    first = [book.claim(77, worker, ten).epoch for worker in (1, 0, 2)]
    second = [book.claim(88, worker, ten).epoch for worker in (0, 1, 2)]
    assert (first, second) == ([0, 0, 0], [1, 1, 1])


def test_persistent_workers_keep_their_seed_and_still_count_on() -> None:
    book = EpochBook(1)
    assert book.claim(77, 0, ten).epoch == 0
    assert book.claim(77, 0, ten).epoch == 1  # this worker is ahead of the other
    assert [book.claim(77, 1, ten).epoch for _ in range(3)] == [0, 1, 2]


def test_a_late_worker_of_an_abandoned_pass_does_not_disturb_the_next() -> None:
    book = EpochBook(1)
    assert book.claim(77, 0, ten).epoch == 0
    assert book.claim(88, 0, ten).epoch == 1
    assert book.claim(77, 1, ten).epoch == 0
    assert book.claim(88, 1, ten).epoch == 1


def test_copies_sent_to_workers_share_the_count_and_deep_copies_do_not() -> None:
    book = EpochBook(1)
    sent = pickle.loads(pickle.dumps(book))
    own = copy.deepcopy(book)
    assert book.claim(None, 0, ten).epoch == 0
    assert sent.claim(None, 0, ten).epoch == 1
    assert own.claim(None, 0, ten).epoch == 0


def test_a_resumed_pass_is_followed_by_the_next_epoch() -> None:
    book = EpochBook(1)
    rest = Pass(4, (40,), (10,), (Consumed(2, 3, 1, 1),))
    book.resume(rest)
    assert book.claim(1, 0, ten) == rest
    after = book.claim(2, 0, ten)
    assert (after.epoch, after.drawn, after.consumed) == (5, (50,), ())
