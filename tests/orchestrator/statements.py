"""What a run states from its start to its end, as examples for tests."""

from orchestrator.events import (
    Arithmetic,
    Evaluated,
    Event,
    Finished,
    Log,
    Progress,
    RecordPlaces,
    Started,
    to_line,
)
from orchestrator.track.result import PointResult

RECORD = RecordPlaces(
    uri="sqlite:///x",
    experiment_id="1",
    run_id="0",
    link="http://127.0.0.1:5000/#/experiments/1/runs/0?workflowType=machine_learning",
    charts="http://127.0.0.1:5000/#/metric",
    command="mlflow ui --backend-store-uri sqlite:///x",
)
STARTED = Started(run="r", run_dir="/runs/r", mlflow=RECORD)
ARITHMETIC = Arithmetic(
    kind="integer",
    kernel="int8",
    sums="int32",
    backward="float32",
    reason="exact for sums below 2^31, on every rank",
)
PROGRESS = Progress(
    epoch=0,
    epochs=2,
    step=3,
    steps=9,
    samples_per_second=12.5,
    eta_seconds=65,
    loss={"8bit": 2.25},
)
EVALUATED = Evaluated(
    epoch=0, epochs=2, metric_name="top1", metric={"8bit": 91.0}, loss={"8bit": 0.1}
)
BROKEN = Log(level="warning", message="one broken file")
FINISHED = Finished(
    run_dir="/runs/r",
    metric_name="top1",
    epoch=1,
    step=18,
    rows=(PointResult("8bit", 91.0, 0.1),),
    delta_b=None,
    delta_b_note="No Delta_B",
    table="| 8bit | 91.00 |",
)
EVENTS = [STARTED, PROGRESS, EVALUATED, BROKEN, FINISHED]


def log_of(*events: Event) -> str:
    """Return a job's log: Ray's own line and then the events."""
    return "Running entrypoint\n" + "".join(f"{to_line(event)}\n" for event in events)
