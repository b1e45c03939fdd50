"""A first configuration for a recording, from the recording alone, and tried on it.

``candidates`` says what each stream could be, ``draft`` decides, ``document`` writes the YAML,
``trial`` aligns the recording with it. Where the trial is refused the draft is changed once for
each cause that a configuration can answer; what is left then is a person's to decide, and said.
"""

from __future__ import annotations

from lerobot_pipelines.suggestions.suggesting import Suggestion, suggest

__all__ = ["Suggestion", "suggest"]
