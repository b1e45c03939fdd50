"""Texts that owners of earlier converters have today, run as they stand."""
