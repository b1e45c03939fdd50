"""``${NAME}`` in values; what a variable holds is never shown."""

from __future__ import annotations

import pytest

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines_tests.config.loading import Loader

SECRET = "hunter2-very-secret"


def test_variables_and_defaults_are_filled_in(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_BUCKET", "/data")
    monkeypatch.setenv("EXAMPLE_FPS", "25")
    monkeypatch.setenv("EXAMPLE_EMPTY", "")
    config = loader.load(
        loader.changed(
            dataset='{name: example, fps: "${EXAMPLE_FPS}", task: "${EXAMPLE_ABSENT:-a: b}"}',
            storage='{url: "${EXAMPLE_BUCKET}/x", raw_prefix: "${EXAMPLE_EMPTY:-in}"}',
        )
    )
    assert config.dataset.fps == 25
    assert config.dataset.task == "a: b"
    assert config.storage.url == "file:///data/x"
    assert config.storage.raw_prefix == "in"


def test_a_variable_that_is_not_set_is_named_once(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EXAMPLE_ABSENT", raising=False)
    faults = loader.faults(loader.changed(storage="{url: '${EXAMPLE_ABSENT}'}"))
    assert list(faults) == ["storage.url"]
    assert "EXAMPLE_ABSENT is not set" in faults["storage.url"].message
    assert "${EXAMPLE_ABSENT:-" in faults["storage.url"].message
    assert faults["storage.url"].line == 9


def test_a_reference_that_cannot_be_read_is_a_fault(loader: Loader) -> None:
    faults = loader.faults(loader.changed(storage="{url: '${not a name}'}"))
    assert "not ${NAME}" in faults["storage.url"].message


def test_a_variable_cannot_add_keys(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_TASK", "x\nvideo: {crf: 1}")
    config = loader.load(loader.changed(dataset='{name: a, fps: 25, task: "${EXAMPLE_TASK}"}'))
    assert config.dataset.task == "x\nvideo: {crf: 1}"
    assert config.video.crf == 23


@pytest.mark.parametrize(
    "section",
    [
        {"video": "{crf: '${EXAMPLE_SECRET}'}"},
        {"video": "{codec: '${EXAMPLE_SECRET}'}"},
        {"video": "{preset: '${EXAMPLE_SECRET}'}"},
        {"dataset": "{name: '${EXAMPLE_SECRET}', fps: 25}"},
        {"dataset": "{name: example, fps: 25, pattern: '/${EXAMPLE_SECRET}'}"},
        {"dataset": "{name: example, fps: 25, owners: ['${EXAMPLE_SECRET}']}"},
        {"storage": "{url: 's3://${EXAMPLE_SECRET}@host'}"},
        {"storage": "{url: /b, access_key_env: '${EXAMPLE_SECRET}'}"},
        {"storage": "{url: /b, raw_prefix: '../${EXAMPLE_SECRET}'}"},
        {"storage": "{url: s3://b, endpoint: 'https://me:${EXAMPLE_SECRET}@host'}"},
        {"streams": "[{name: left, file: '../${EXAMPLE_SECRET}'}]"},
        {"layout": "'${EXAMPLE_SECRET}'"},
        {"features": "{observation.state: ['${EXAMPLE_SECRET}']}"},
        {"features": "{observation.state: [{stream: left, slice: '${EXAMPLE_SECRET}'}]}"},
        {"robot": "{arms: [{name: a_slave, role: '${EXAMPLE_SECRET}'}]}"},
        {"robot": "{joints_per_arm: '${EXAMPLE_SECRET}'}"},
    ],
)
def test_what_a_variable_holds_is_in_no_message(
    loader: Loader, monkeypatch: pytest.MonkeyPatch, section: dict[str, str]
) -> None:
    monkeypatch.setenv("EXAMPLE_SECRET", SECRET)
    with pytest.raises(ConfigError) as caught:
        loader.load(loader.changed(**section))
    assert SECRET not in str(caught.value)
    assert all(SECRET not in str(fault) for fault in caught.value.details["faults"])


@pytest.mark.parametrize("kind", ["bos", "s3"])
@pytest.mark.parametrize("key", ["access_key", "secret_key", "secret_access_key"])
def test_a_credential_in_the_file_is_refused_without_repeating_it(
    loader: Loader, kind: str, key: str
) -> None:
    text = loader.changed(storage="{}") + f"{kind}: {{bucket: b, {key}: {SECRET}}}\n"
    with pytest.raises(ConfigError) as caught:
        loader.load(text)
    assert f"{kind}.{key}: holds a credential" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_pasted_access_key_is_not_taken_for_a_variables_name(loader: Loader) -> None:
    pasted = "AKIAIOSFODNN7EXAMPLE"
    text = loader.changed(
        storage=f"{{url: s3://b, access_key_env: {pasted}, secret_key_env: NAME}}"
    )
    faults = loader.faults(text)
    assert "not the key itself" in faults["storage.access_key_env"].message
    assert pasted not in faults["storage.access_key_env"].message


def test_credentials_are_kept_as_names_whether_or_not_they_are_set(loader: Loader) -> None:
    config = loader.load(
        loader.changed(storage="{}")
        + "s3: {bucket: rec, access_key: '${ABSENT_ID}', secret_key: '${ABSENT_KEY}'}\n"
    )
    assert config.storage.access_key_env == "ABSENT_ID"
    assert config.storage.secret_key_env == "ABSENT_KEY"
