"""Weights & Biases: files in the run folder, unless `WANDB_MODE` says otherwise."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class WandB:
    """A run of the project `nasdsl`; `wandb sync RUN/wandb/offline-run-…` uploads it."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, str]) -> None:
        import wandb

        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "nasdsl"),
            name=name,
            # The same folder is the same run, also when it goes on.
            id=hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16],
            resume="allow",
            dir=str(folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=dict(settings),
            settings=wandb.Settings(
                console="off", silent=True, x_disable_stats=True, x_disable_meta=True,
                disable_code=True, disable_git=True,
            ),
        )  # fmt: skip

    def log(self, step: int, values: Mapping[str, float]) -> None:
        # Searching and retraining count their epochs apart, so the epoch is a value of its own.
        task = "retrain/epoch" if any(t.startswith("retrain/") for t in values) else "epoch"
        self.run.log({**values, task: step})

    def end(self, status: str, values: Mapping[str, float]) -> None:
        self.run.summary.update({**values, "status": status})
        self.run.finish(exit_code=0 if status == "done" else 1)
