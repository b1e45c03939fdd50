"""An episode whose joints come in another order is told what helps."""

from __future__ import annotations

import pytest

from lerobot_pipelines.datasets.members import DatasetSchema, joint_names_remedy, schema_difference
from lerobot_pipelines.datasets.records import FeatureRecord


def schema(names: list[str] | dict[str, list[str]], dtype: str = "float32") -> DatasetSchema:
    count = len(names) if isinstance(names, list) else 3
    feature = FeatureRecord(dtype=dtype, shape=(count,), names=names)
    return DatasetSchema(fps=10, features={"observation.state": feature}, videos={})


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (["c", "b", "a"], "its joints come in another order"),
        (["a.position", "b.position", "c.position"], "it names other joints"),
        ({"state_names": ["b", "a", "c"]}, "its joints come in another order"),
    ],
)
def test_other_names_have_joint_names_as_their_remedy(
    found: list[str] | dict[str, list[str]], told: str
) -> None:
    dataset = schema(["a", "b", "c"])
    assert schema_difference(schema(found), dataset) is not None
    remedy = joint_names_remedy(schema(found), dataset)
    assert remedy is not None
    assert told in remedy
    assert 'joint_names (bags) or columns (files) of the streams of "observation.state"' in remedy


@pytest.mark.parametrize("found", [schema(["a", "b"]), schema(["a", "b", "c"], "float64")])
def test_other_shapes_have_not(found: DatasetSchema) -> None:
    assert joint_names_remedy(found, schema(["a", "b", "c"])) is None


def recorded(names: list[str] | None) -> DatasetSchema:
    feature = FeatureRecord(
        dtype="float32", shape=(3,), names=["x", "y", "z"], recorded_names=names
    )
    return DatasetSchema(fps=10, features={"action": feature}, videos={})


def test_given_names_do_not_hide_another_order_of_joints() -> None:
    found, dataset = recorded(["s.b", "s.a", ""]), recorded(["s.a", "s.b", "s.c"])
    difference = schema_difference(found, dataset)
    assert difference is not None
    assert "joint s.b is its element 0, in the dataset element 1" in difference
    assert "in another order" in (joint_names_remedy(found, dataset) or "")


@pytest.mark.parametrize("names", [None, ["s.a", "s.b", ""], ["t.a", "t.b", "t.c"]])
def test_names_that_say_nothing_keep_nothing_out(names: list[str] | None) -> None:
    dataset = recorded(["s.a", "s.b", "s.c"])
    assert schema_difference(recorded(names), dataset) is None
    assert schema_difference(dataset, recorded(names)) is None
