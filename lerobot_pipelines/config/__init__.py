"""One YAML file describes one dataset: read, checked as a whole, resolved.

``load`` is the way in. The key names are the field's own (``legacy``); ``schema`` is what the rest
of the project sees.
"""

from lerobot_pipelines.config.dump import dump_config
from lerobot_pipelines.config.load import load_config, load_configs, override, shipped_configs

__all__ = ["dump_config", "load_config", "load_configs", "override", "shipped_configs"]
