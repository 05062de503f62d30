"""The trackers there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from nasdsl.training.track.mlflow import MLflow
from nasdsl.training.track.tensorboard import TensorBoard
from nasdsl.training.track.tracker import Opener
from nasdsl.training.track.wandb import WandB

OPENERS: Mapping[str, Opener] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}
