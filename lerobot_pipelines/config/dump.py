"""A resolved configuration as YAML that reads back to an equal one."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import TypeAdapter

from lerobot_pipelines.config.environment import escaped
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.config.yaml_source import YAML_12_SCALARS

WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or 1.2 would read as something else."""

    yaml_implicit_resolvers: dict[str, Any] = {  # noqa: RUF012  # PyYAML's own class attribute
        first: list(resolvers)
        for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        # Lists indented below their key, as people write them.
        super().increase_indent(flow, False)


for _tag, _pattern, _first in YAML_12_SCALARS:
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, list(_first))


def plain_scalar(value: object) -> str:
    """A value as it is written in a file, on one line."""
    plain = TypeAdapter(Any).dump_python(value, mode="json")
    text = yaml.dump(plain, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=10_000)
    return str(text).removesuffix("\n").removesuffix("\n...")


def dump_config(config: DatasetConfig) -> str:
    """Every key with its value, defaults included, in the schema's order."""
    return str(
        yaml.dump(
            escaped(config.model_dump(mode="json")),
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            width=WIDTH,
        )
    )
