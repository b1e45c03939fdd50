"""A configuration file as parsed YAML: one document that is a section of keys."""

from __future__ import annotations

from pathlib import Path

from lerobot_pipelines.config.draft import described
from lerobot_pipelines.config.faults import ConfigFault, config_error
from lerobot_pipelines.config.yaml_source import YamlDocument, parse_yaml

# A file of a person's own is a few kilobytes; more is the wrong file.
MAX_BYTES = 2_000_000


def read_document(path: Path, text: str | None = None) -> YamlDocument:
    """Parse the file, or ``text`` in its place. Its ``data`` is a mapping, its faults are noted.

    Raises ``ConfigError`` for one that holds nothing to check.
    """
    document = parse_yaml(read_text(path) if text is None else text)
    data = document.data
    if not isinstance(data, dict) or not data:
        if not document.faults:
            nothing = data is None or data == {}
            what = "is empty" if nothing else f"holds {described(data)}"
            message = f"{what}; a configuration is a section of keys, e.g. dataset: {{name: ...}}"
            document.faults.append(ConfigFault("", message, None if nothing else 1))
        raise config_error(str(path), document.faults)
    return document


def read_text(path: Path) -> str:
    """The file's text. Raises ``ConfigError`` that says why there is none."""
    try:
        if path.stat().st_size <= MAX_BYTES:
            return path.read_bytes().decode("utf-8-sig")
        message = "is larger than 2 MB, which is no configuration; name the YAML file"
    except FileNotFoundError:
        message = "there is no such file; see lerobot-pipelines config list for shipped ones"
    except IsADirectoryError:
        message = "is a folder; name the YAML file in it"
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
    raise config_error(str(path), [ConfigFault("", message)])
