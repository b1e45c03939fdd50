"""What each step shows in the UI, made from what it returned. The same keys every time.

Only shaping here: no reading of the bucket (except the videos behind a contact sheet), no verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.defs import plots
from lerobot_pipelines.defs.stepping import Metadata, StepResult
from lerobot_pipelines.defs.tables import picture, table
from lerobot_pipelines.intake import IntakeEntry, warnings_of
from lerobot_pipelines.model import AlignedFrames, Manifest
from lerobot_pipelines.pipeline.artifacts import VideosIndex
from lerobot_pipelines.pipeline.workspace import Workspace

NS_PER_S = 1e9


def shown_raw(manifest: Manifest) -> StepResult:
    streams = [
        {
            "stream": stream.name,
            "kind": str(stream.kind),
            "samples": stream.count,
            "rate_hz": round(stream.median_rate_hz or 0.0, 3),
            "longest_gap_ms": round(stream.longest_gap_ms or 0.0, 3),
            "seconds": round((stream.end_ns - stream.start_ns) / NS_PER_S, 3),
            "clock": str(stream.clock),
            "origin": stream.origin,
        }
        for stream in manifest.streams
    ]
    faults = [
        {"stream": f.stream, "where": f.where, "reason": f.reason, "count": f.count}
        for f in manifest.faults
    ]
    columns = {
        "stream": "string",
        "kind": "string",
        "samples": "int",
        "rate_hz": "float",
        "longest_gap_ms": "float",
        "seconds": "float",
        "clock": "string",
        "origin": "string",
    }
    fault_columns = {"stream": "string", "where": "string", "reason": "string", "count": "int"}
    return StepResult(
        metadata={
            "streams": table(streams, columns),
            "rates": picture(plots.rate_plot(manifest), "rates"),
            "faults": table(faults, fault_columns),
            **_intake(manifest.intake),
            "fault_count": dg.MetadataValue.int(sum(fault.count for fault in manifest.faults)),
            "files": dg.MetadataValue.int(len(manifest.members)),
            "bytes": dg.MetadataValue.int(sum(member.size for member in manifest.members)),
            "container": dg.MetadataValue.text(manifest.container),
            "fingerprint": dg.MetadataValue.text(manifest.fingerprint),
            "source": dg.MetadataValue.text(manifest.uri),
            "recording_metadata": dg.MetadataValue.json(dict(manifest.metadata)),
        },
        data_version=manifest.fingerprint,
    )


def shown_aligned(frames: AlignedFrames, frames_sha256: str) -> StepResult:
    report = frames.report
    ages = [
        {"stream": name, **{quantile: round(value, 3) for quantile, value in values.items()}}
        for name, values in report.age_ms.items()
    ]
    dropped = [{"reason": reason, "rows": rows} for reason, rows in report.dropped.items()]
    used = [{"stream": name, "used": round(share, 4)} for name, share in report.utilisation.items()]
    rows = len(frames.row_times_ns)
    return StepResult(
        metadata={
            "dagster/partition_row_count": dg.MetadataValue.int(rows),
            "dagster/column_schema": dg.MetadataValue.table_schema(frames_schema(frames)),
            "rows_kept": dg.MetadataValue.int(report.rows_kept),
            "rows_candidate": dg.MetadataValue.int(report.rows_candidate),
            "rows_dropped": table(dropped, {"reason": "string", "rows": "int"}),
            "segments": dg.MetadataValue.int(int(frames.segments[-1]) + 1 if rows else 0),
            "seconds": dg.MetadataValue.float(rows / frames.fps),
            "measured_rate_hz": dg.MetadataValue.float(report.measured_rate_hz or 0.0),
            "age_ms": table(
                ages, {"stream": "string", "p50": "float", "p95": "float", "max": "float"}
            ),
            "utilisation": table(used, {"stream": "string", "used": "float"}),
            "gaps": dg.MetadataValue.json([dict(gap) for gap in report.gaps]),
            **_intake(report.intake),
            "joints": picture(plots.joint_plot(frames), "joints"),
            "ages": picture(plots.age_plot(frames), "ages"),
        },
        data_version=frames_sha256,
    )


def _intake(entries: Sequence[IntakeEntry]) -> Metadata:
    """The intake report, what is in doubt first, and how many of it are warnings."""
    columns = {
        "severity": "string",
        "code": "string",
        "stream": "string",
        "message": "string",
        "count": "int",
    }
    warnings = warnings_of(entries)
    notes = [entry for entry in entries if entry not in warnings]
    rows = [{name: getattr(entry, name) for name in columns} for entry in (*warnings, *notes)]
    for row in rows:
        row["severity"], row["code"] = str(row["severity"]), str(row["code"])
    return {
        "intake": table(rows, columns),
        "warnings": dg.MetadataValue.int(len(warnings)),
        "notes": dg.MetadataValue.int(len(notes)),
    }


def frames_schema(frames: AlignedFrames) -> dg.TableSchema:
    """The columns of the rows as a dataset will have them."""
    columns = [dg.TableColumn("row_time_ns", "int64", "the moment the row stands for")]
    for name, values in frames.features.items():
        shape = "x".join(str(size) for size in values.shape[1:])
        names = ", ".join(frames.feature_names.get(name, ()))
        columns.append(dg.TableColumn(name, f"{values.dtype}[{shape}]", names or None))
    columns += [
        dg.TableColumn(name, "picture", f"picture of stream {stream}, by its number")
        for name, stream in frames.picture_streams.items()
    ]
    return dg.TableSchema(columns)


def shown_videos(workspace: Workspace, index: VideosIndex) -> StepResult:
    rows = [
        {
            "camera": feature,
            "segment": number,
            "frames": video.frames,
            "bytes": video.bytes,
            "codec": video.codec,
            "pix_fmt": video.pix_fmt,
            "size": f"{video.width}x{video.height}",
            "object": video.key,
        }
        for number, segment in enumerate(index.segments)
        for feature, video in segment.items()
    ]
    videos = [video for segment in index.segments for video in segment.values()]
    columns = {
        "camera": "string",
        "segment": "int",
        "frames": "int",
        "bytes": "int",
        "codec": "string",
        "pix_fmt": "string",
        "size": "string",
        "object": "string",
    }
    encoder = {feature: dict(details) for feature, details in index.details.items()}
    speeds = [float(d["encoder_fps"]) for d in encoder.values() if d.get("encoder_fps")]
    return StepResult(
        metadata={
            "contact_sheets": dg.MetadataValue.md(
                plots.contact_sheets(workspace, index.segments[0]) if index.segments else ""
            ),
            "videos": table(rows, columns),
            "frames": dg.MetadataValue.int(sum(video.frames for video in videos)),
            "bytes": dg.MetadataValue.int(sum(video.bytes for video in videos)),
            "encoder_fps": dg.MetadataValue.float(min(speeds, default=0.0)),
            "encoder": dg.MetadataValue.json(_plain(encoder)),
        },
        data_version=_digest(video.sha256 for video in videos),
    )


def shown_metadata(record: EpisodeRecord) -> StepResult:
    columns = {"check": "string", "passed": "bool", "severity": "string", "description": "string"}
    checks = [
        {
            "check": check.name,
            "passed": check.passed,
            "severity": check.severity,
            "description": check.description,
        }
        for check in record.checks
    ]
    features = [
        {"feature": name, "dtype": f.dtype, "shape": "x".join(str(size) for size in f.shape)}
        for name, f in record.features.items()
    ]
    frames = sum(segment.length for segment in record.segments)
    tasks = sorted({task for segment in record.segments for task in segment.tasks})
    return StepResult(
        metadata={
            "episode": dg.MetadataValue.text(record.key),
            "verdict": dg.MetadataValue.text("passed" if record.passed else "kept out"),
            "rows": dg.MetadataValue.int(frames),
            "seconds": dg.MetadataValue.float(frames / record.fps),
            "lerobot_episodes": dg.MetadataValue.int(len(record.segments)),
            "tasks": dg.MetadataValue.text("; ".join(tasks)),
            "checks": table(checks, columns),
            **_intake(record.intake),
            "features": table(
                features, {"feature": "string", "dtype": "string", "shape": "string"}
            ),
            "source": dg.MetadataValue.text(record.uri),
            "fingerprint": dg.MetadataValue.text(record.fingerprint),
            "config_hash": dg.MetadataValue.text(record.config_hash),
            "code_version": dg.MetadataValue.text(record.code_version),
            "provenance": dg.MetadataValue.json(_plain(record.provenance)),
        },
        data_version=_digest([record.model_dump_json()]),
        checks=record.checks,
    )


def _plain(value: Any) -> Any:
    """JSON without numpy's numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.item() if hasattr(value, "item") else str(value)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
