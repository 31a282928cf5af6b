"""What a run states from its start to its end, as examples for tests."""

from orchestrator.event_parts import TrialRow
from orchestrator.events import (
    Arithmetic,
    Evaluated,
    Event,
    Finished,
    Log,
    Progress,
    Searched,
    Searching,
    Started,
    TrialEnded,
    to_line,
)
from orchestrator.run_facts import RunFacts
from orchestrator.strict_json import dumps
from orchestrator.track.result import PointResult
from orchestrator.track.run import RecordPlaces
from orchestrator.typed_json import plain

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
BEST = TrialRow(
    trial="t007",
    state="finished",
    settings={"method.lambda": 0.002, "method.p1": 0.7},
    epoch=9,
    value=98.31,
    spread=0.4,
)
LIVING = TrialRow(
    trial="t008", state="running", settings={"method.lambda": 1.0}, epoch=2, value=90.5
)
FAILED_TRIAL = TrialRow(
    trial="t003",
    state="failed",
    settings={"method.lambda": 0.5, "method.p1": 0.3},
    epoch=0,
    value=None,
    reason="The loss is not finite.",
)
SEARCHING = Searching(
    metric="delta_b",
    trials=24,
    ended={"finished": 5, "stopped early": 6, "failed": 1},
    living=(LIVING,),
    failed=(FAILED_TRIAL,),
    best=BEST,
    epochs=9,
    epochs_done=80,
    epochs_planned=216,
    worker_hours=1.5,
    eta_seconds=2460,
)
TRIAL_ENDED = TrialEnded(metric="delta_b", epochs=9, row=BEST)
SEARCHED = Searched(
    run_dir="/runs/s",
    metric="delta_b",
    trials=24,
    ended={"finished": 24},
    best=BEST,
    best_job="/runs/s/best.yaml",
    table="| t007 | 98.31 |",
)
EVENTS = [STARTED, PROGRESS, EVALUATED, BROKEN, FINISHED]


def log_of(*events: Event) -> str:
    """Return a job's log: Ray's own line and then the events."""
    return "Running entrypoint\n" + "".join(f"{to_line(event)}\n" for event in events)


def kept_facts(*events: Event) -> str:
    """Return the facts after events, as a job's driver keeps them."""
    return dumps(plain(RunFacts().after(*events))) + "\n"
