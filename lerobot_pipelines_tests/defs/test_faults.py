"""What a person reads in Dagster about an episode that was refused."""

from __future__ import annotations

import pytest

from lerobot_pipelines.defs.faults import failure_of
from lerobot_pipelines.errors import Reason, Refused


@pytest.mark.parametrize("reason", list(Reason))
def test_every_refusal_has_a_remedy_and_is_not_tried_again(reason: Reason) -> None:
    failure = failure_of(Refused(reason, "what is wrong"))
    assert not failure.allow_retries
    assert failure.metadata["reason"].value == reason.value
    assert failure.metadata["message"].value == "what is wrong"
    remedy = failure.metadata["remedy"].value
    assert isinstance(remedy, str) and remedy.endswith(".") and "See the message" not in remedy
