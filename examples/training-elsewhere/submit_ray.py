"""Hand the training to a Ray cluster as a job, follow its log, and stop it where this command is stopped.

`RAY_ADDRESS` names the cluster's job server (`ray start --head` has one on port 8265). The job logs its model to the
MLflow run itself, so the cluster must reach the tracking server.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import mlflow
from ray.job_submission import JobStatus, JobSubmissionClient

OURS = ("SLIPWAY_COMMIT", "SLIPWAY_DATA_", "SLIPWAY_SEED")
HANDED_ON = ("MLFLOW_TRACKING_", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", *OURS, "PYTHONHASHSEED")
"""What the job needs of this command's variables: run, data, seed, and the tracking server's credentials."""


def main() -> int:
    # What Slipway sends where the workflow is cancelled or the time is over ends this command as Ctrl+C would.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    client = JobSubmissionClient(os.environ.get("RAY_ADDRESS", "http://127.0.0.1:8265"))
    # The job's name follows from the run: submitted twice, it is refused instead of trained twice.
    job = f"slipway-{os.environ['MLFLOW_RUN_ID']}"
    try:
        submit(client, job)
        mlflow.MlflowClient().set_tag(os.environ["MLFLOW_RUN_ID"], "slipway.job", f"ray:{client.get_address()}/{job}")
        asyncio.run(follow(client, job))
    except KeyboardInterrupt:
        client.stop_job(job)
        raise SystemExit(130) from None
    status = client.get_job_status(job)
    if status != JobStatus.SUCCEEDED:
        print(f"The job {job} ended as {status}: {client.get_job_info(job).message}", flush=True)
    return 0 if status == JobStatus.SUCCEEDED else 1


def submit(client: JobSubmissionClient, job: str) -> None:
    """Hand the job over; a cluster that has only just started says "try again later"."""
    for _ in range(10):
        try:
            client.submit_job(
                submission_id=job,
                entrypoint="python same_packages.py requirements-ray.txt && python ray_job.py",
                runtime_env={
                    "working_dir": ".",
                    "excludes": [".venv", "data", "mlruns", "*.db"],
                    "env_vars": {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)},
                },
            )
            return
        except RuntimeError as refused:
            if "try again later" not in str(refused):
                raise
            print(f"The cluster is not ready: {refused}", flush=True)
            time.sleep(3)
    raise SystemExit("The cluster took no job.")


async def follow(client: JobSubmissionClient, job: str) -> None:
    """Print the job's log until it ends."""
    async for lines in client.tail_job_logs(job):
        print(lines, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
