"""Robot recordings in a bucket become trainable LeRobot datasets.

The packages below the Dagster layer (``defs``) are plain functions over numpy, pyarrow and av.
Imports point one way: ``defs`` and ``cli`` use ``pipeline``; ``pipeline`` uses ``recordings``,
``alignment``, ``video``, ``datasets`` and ``storage``; all of them use ``config``, ``model`` and
``errors``, which use nothing of the project.
"""

__version__ = "0.1.0"
