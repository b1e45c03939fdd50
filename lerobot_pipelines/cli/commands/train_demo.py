"""``train-demo``: train a small behaviour-cloning policy on a dataset and plot the loss."""

from __future__ import annotations

from pathlib import Path

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.text import safe


@click.command(short_help="Train a small policy on a dataset, and plot the loss.")
@click.argument("dataset", metavar="DATASET", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("train_demo.png"),
    show_default=True,
    help="The plot of the loss.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.0, min_open=True),
    default=40.0,
    show_default=True,
    help="How long to train.",
)
@click.option("--workers", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--ranks",
    type=click.IntRange(1, 8),
    default=1,
    show_default=True,
    help="Processes that train together (DistributedDataParallel, gloo).",
)
def command(dataset: Path, output: Path, seconds: float, workers: int, ranks: int) -> int:
    """Train a small behaviour-cloning policy on a LeRobot dataset (v2.1 or v3.0) and plot the loss.

    DATASET is the folder that holds "meta". The policy sees the smallest view of every camera and
    the state, and predicts the next actions; every fourth episode is held out and measured after
    each epoch. It is an example of the loaders, not a policy to drive a robot with. Needs PyTorch:
    pip install 'lerobot-pipelines[train]'.

    \b
    Examples:
      lerobot-pipelines train-demo demo/bucket/converted/demo/v3.0
      lerobot-pipelines train-demo demo/bucket/converted/demo/v3.0 --ranks 2

    \b
    Exit codes:
      0  trained, and the loss fell
      1  the loss did not fall, or the dataset cannot be read
      2  wrong usage
    """
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        raise click.UsageError(
            "training needs PyTorch: pip install 'lerobot-pipelines[train]'"
        ) from error
    from lerobot_pipelines.loading.example import train

    history = train(dataset, seconds=seconds, workers=workers, ranks=ranks, say=click.echo)
    history.plot(output)
    click.echo(f"the plot is {safe(str(output))}")
    return exits.OK if history.fell else exits.INCOMPLETE
