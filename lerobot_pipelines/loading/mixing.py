"""Several datasets as one: the same keys, shapes and steps in every item, by rules, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.config import LoadingConfig
from lerobot_pipelines.loading.plan import KeyPlan, missing_plan, plan_keys
from lerobot_pipelines.loading.source import Source

Plans = dict[str, KeyPlan]


def common_plans(sources: Sequence[Source], config: LoadingConfig) -> list[Plans]:
    """The plans of each source, with the same keys in the same order.

    ``config.missing`` and ``config.dimensions`` decide about what differs. Raises ``ConfigError``
    that names key, datasets and remedy for what no rule covers: other picture sizes, other numbers
    of steps, the same number of steps at other rates, numbers of another kind.
    """
    plans = [plan_keys(source, config) for source in sources]
    keys = list(config.keys) or list(dict.fromkeys(key for one in plans for key in one))
    common: list[Plans] = [{} for _ in sources]
    for key in keys:
        found = [one.get(key) for one in plans]
        if not any(found):
            raise ConfigError(
                f"none of {', '.join(source.name for source in sources)} has a feature, camera or "
                f"topic for {key}"
            )
        if not config.keys and any(one is not None and one.spec.dtype == "string" for one in found):
            continue  # text cannot be batched with tensors; name the key to have it
        for one, plan in zip(common, _of_one_key(key, found, sources, config), strict=True):
            if plan is not None:
                one[key] = plan
    if not common[0]:
        raise ConfigError("the datasets have no key in common; say missing: pad")
    return common


def common_tasks(sources: Sequence[Source]) -> tuple[list[str], list[list[int]]]:
    """All tasks in the order of appearance, and each source's task_index in that list."""
    tasks = list(dict.fromkeys(task for source in sources for task in source.tasks))
    numbers = {task: number for number, task in enumerate(tasks)}
    return tasks, [[numbers[task] for task in source.tasks] for source in sources]


def _of_one_key(
    key: str, found: Sequence[KeyPlan | None], sources: Sequence[Source], config: LoadingConfig
) -> Sequence[KeyPlan | None]:
    present = {
        source.name: plan for source, plan in zip(sources, found, strict=True) if plan is not None
    }
    absent = [source.name for source in sources if source.name not in present]
    if absent and config.missing == "error":
        raise ConfigError(
            f"{', '.join(absent)} has no {key}; say missing: select (leave it out) or pad"
        )
    if absent and config.missing == "select":
        return [None] * len(found)
    _require_equal_form(key, present, sources)
    widest = max(present.values(), key=lambda plan: plan.padded or plan.dimension)
    filled = [plan or missing_plan(widest) for plan in found]
    if widest.is_camera:
        return [replace(plan, tells_missing=bool(absent)) for plan in filled]
    return _of_one_width(key, filled, bool(absent), config)


def _of_one_width(
    key: str, plans: list[KeyPlan], some_missing: bool, config: LoadingConfig
) -> list[KeyPlan]:
    widths = [plan.padded or plan.dimension for plan in plans]
    width = max(widths)
    if min(widths) != width and config.dimensions == "error":
        raise ConfigError(
            f"{key} has {', '.join(str(one) for one in sorted(set(widths)))} elements; say "
            "dimensions: pad, or take equal parts with elements"
        )
    tells = some_missing or any(plan.dimension != width for plan in plans)
    return [
        replace(plan, padded=width if tells else plan.padded, tells_missing=tells) for plan in plans
    ]


def _require_equal_form(
    key: str, present: Mapping[str, KeyPlan], sources: Sequence[Source]
) -> None:
    def told(what: Mapping[str, object]) -> str:
        return ", ".join(f"{name}: {value}" for name, value in what.items())

    rates = {source.name: source.fps for source in sources if source.name in present}
    one = next(iter(present.values()))
    kinds = {name: _kind(plan) for name, plan in present.items()}
    if len(set(kinds.values())) > 1:
        raise ConfigError(f"{key} is of different kinds ({told(kinds)}); give them different keys")
    sizes = {name: _picture_size(plan) for name, plan in present.items() if plan.is_camera}
    if len(set(sizes.values())) > 1:
        raise ConfigError(
            f"{key} has pictures of different sizes ({told(sizes)}); give it a resize"
        )
    inner = {name: plan.spec.shape[:-1] for name, plan in present.items() if not plan.is_camera}
    if len(set(inner.values())) > 1:
        raise ConfigError(f"{key} has different shapes ({told(inner)}), which cannot be padded")
    by_rows = one.offsets is not None and not one.config.rate_hz and not one.config.delta_timestamps
    if by_rows and len(set(rates.values())) > 1:
        raise ConfigError(
            f"{key} has steps, and the datasets' rates differ ({told(rates)} fps): say rate_hz or "
            "delta_timestamps, so that a step means the same time everywhere"
        )


def _kind(plan: KeyPlan) -> str:
    if plan.is_camera:
        return "camera"
    for kind in ("float", "int", "uint"):
        if plan.spec.dtype.startswith(kind):
            return "float" if kind == "float" else "int"
    return plan.spec.dtype


def _picture_size(plan: KeyPlan) -> tuple[int, ...]:
    return plan.config.resize or plan.config.crop or plan.spec.shape[:2]
