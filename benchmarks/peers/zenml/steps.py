"""ZenML steps in one pipeline, on the default stack with its local store; logs, heartbeats and metadata of artifacts turned off."""

from trivial import add_one, report, task
from zenml import pipeline, step


@step
def one(value: int) -> int:
    return add_one(value)


if __name__ == "__main__":
    steps, folder, keep = task()

    @pipeline(enable_cache=keep, enable_artifact_metadata=False, enable_heartbeat=False, enable_step_logs=False, enable_pipeline_logs=False)
    def chain():
        value = one(0)
        for _ in range(steps - 1):
            value = one(value)

    run = chain()
    last = "one" if steps == 1 else f"one_{steps}"
    report(run.steps[last].output.load())
