"""Which faults pass by themselves: the network's and the machine's, never those of the input."""

from __future__ import annotations

import errno

from lerobot_pipelines.errors import Transient

# The system answers the same until somebody changes permissions, mounts or names.
_LASTING = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOTDIR,
        errno.EISDIR,
    }
)


def is_retryable(error: BaseException) -> bool:
    """Whether another attempt, with nothing changed by a person, may succeed."""
    if isinstance(error, Transient):
        return True
    return isinstance(error, OSError) and error.errno not in _LASTING
