"""MLflow: files in the run folder, or the server that `MLFLOW_TRACKING_URI` names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: What MLflow takes of a parameter.
_LONGEST = 500


class MLflow:
    """A run of the experiment `nasdsl`; a run folder that goes on goes on in the same one."""

    def __init__(self, folder: Path, name: str, settings: Mapping[str, str]) -> None:
        own = f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        local = (folder / "mlflow").resolve().as_uri()
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            # Without a database (mlflow-skinny) runs are files.
            from importlib.util import find_spec

            uri = own if find_spec("sqlalchemy") is not None else local
            if uri == local:
                os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        self.client: Any = MlflowClient(tracking_uri=uri)
        found = self.client.get_experiment_by_name("nasdsl")
        experiment = (
            found.experiment_id if found is not None else self.client.create_experiment("nasdsl")
        )
        key = str(folder.resolve()).replace("'", "")
        runs = self.client.search_runs([experiment], f"tags.`nasdsl.folder` = '{key}'")
        if runs:
            self.id = runs[0].info.run_id
            self.client.update_run(self.id, status="RUNNING")
            return
        made = self.client.create_run(
            experiment, run_name=name, tags={"nasdsl.folder": key, "mlflow.runName": name}
        )
        self.id = made.info.run_id
        for setting, value in settings.items():
            self.client.log_param(self.id, setting.replace("=", "-"), value[:_LONGEST])

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for tag, value in values.items():
            self.client.log_metric(self.id, tag, value, step=step)

    def end(self, status: str, values: Mapping[str, float]) -> None:
        for tag, value in values.items():
            self.client.log_metric(self.id, tag, value)
        states = {"done": "FINISHED", "stopped": "KILLED"}
        self.client.set_terminated(self.id, status=states.get(status, "FAILED"))
