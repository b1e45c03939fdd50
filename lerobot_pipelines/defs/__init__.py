"""The Dagster layer: assets, checks, sensors, schedules, jobs and the instance's settings.

Thin by rule: what is decided or computed lives in ``pipeline`` and below; what belongs here is how
it is named, scheduled, retried and shown.
"""
