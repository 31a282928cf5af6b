"""Each mistake that a search can make, by the line that a person sees."""

from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job import corners, search_check
from orchestrator.job.load import load_each_bit_width, load_job

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant, lambda: 1e-3, p1: 0.9}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
search: {space: {method.p1: {uniform: [0.3, 0.9]}}, metric: mean, trials: 4}
"""
LAMBDA = "search.space.method.lambda="


def mistakes(folder: Path, *overrides: str, text: str = JOB) -> list[str]:
    file = folder / "mine.yaml"
    file.write_text(text)
    try:
        load_job(file, overrides)
    except JobFileError as error:
        return error.mistakes
    return []


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("search.space=null", "search.space: expected keys and values, got None."),
        (f"{LAMBDA}{{prior: {{width: 2}}}}", "lambda: give exactly one of choice, grid, uniform"),
        (f"{LAMBDA}{{loguniform: [0, 1]}}", "lambda: loguniform needs a lowest value above 0"),
        (f"{LAMBDA}{{uniform: [1]}}", "lambda.uniform.1: expected one more value in the list."),
        (f"{LAMBDA}{{uniform: [1, .inf]}}", "lambda.uniform: expected a finite number, got inf."),
        (f"{LAMBDA}{{grid: [0, 1, 0]}}", "lambda: the value 0 is listed twice"),
        (f"{LAMBDA}{{uniform: [0, 1], step: 2}}", "lambda.step: 2 leaves nothing but 0"),
        (f"{LAMBDA}{{uniform: [0, 1], step: 1.0e-320}}", "is too small: more than 1,000,000,000"),
        (f"{LAMBDA}{{uniform: [0, 1], stepp: 2}}", "lambda.stepp: unknown key. Did you mean 'st"),
        ("search.space.seed={grid: [0, 1]}", "seed: seed cannot be searched; search.seeds"),
        ("search.space.reference.runs={grid: [a]}", "reference is the same in all trials"),
        ("search.space.method={choice: [{p1: 0.5}]}", "p1: is a part of method, which is search"),
        ("search.trials=null", "search.trials: is required; 'random' has no end of its own"),
        ("search.seeds=0", "search.seeds: input should be greater than or equal to 1, got 0."),
        ("search.searcher.name=gird", "search.searcher: no searcher is called 'gird'. Did you me"),
        ("search.searcher={}", "search.searcher: name is required; one of: random, grid, prior"),
        ("search.searcher=grid", "search.searcher: expected keys and values, got 'grid'."),
        ("search.searcher.name=grid", "method.p1: the searcher 'grid' tries listed values"),
        ("search.scheduler={name: asha, grac: 1}", "grac: unknown key. Did you mean 'grace'?"),
        ("search.scheduler.name=pbt", "search.scheduler.name: 'pbt' is not built yet; one of: a"),
        ("search.scheduler={name: asha, grace: 4}", "scheduler.grace: a run has 3 epochs"),
    ],
)
def test_each_mistake_has_one_clear_line(tmp_path: Path, override: str, expected: str) -> None:
    found = mistakes(tmp_path, override)
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("model.nam: x", "when.model.nam: the job has no such key. Did you mean 'model.name'?"),
        ("optimizer.lr: 5", "optimizer.lr is 0.05 and not searched, so the axis never exists."),
        ("method.p1: 0.3", "method.p1 is a range; a condition refers to listed values."),
        ("method.name: []", "when.method.name: the list is empty, so the axis never exists; give "),
        ("method.lambda: 0", "stands after method.lambda, or is it"),
        ("model.dropout: 7", "model.dropout is never 7; it is 0.1 or 0.2."),
    ],
)
def test_a_condition_is_about_a_value_that_comes_before(
    tmp_path: Path, condition: str, expected: str
) -> None:
    found = mistakes(
        tmp_path,
        "search.space.model.dropout={choice: [0.1, 0.2]}",
        f"{LAMBDA}{{uniform: [0, 1], when: {{{condition}}}}}",
    )
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ("loguniform: [1e-4, 1], prior: {width: 1}", "prior.width: is a factor here, above 1"),
        ("choice: [1e-3, 1], prior: {width: 1}", "prior.width: is the share of all other values"),
        ("uniform: [0, 1], prior: {width: 1.0e-300}", "width: 1e-300 leaves one value of the whol"),
        ("uniform: [0, 1], prior: {width: 2000}", "width: 2000.0 is far wider than the axis and s"),
        ("uniform: [0, 1], prior: {width: 1.0e+300}", "width: expected a number below 1.09951e+12"),
        ("loguniform: [1e-4, 1], prior: {width: 1.000001}", "width: 1.000001 leaves one value of"),
        (f"loguniform: [1e-4, 1], prior: {{width: {1 + 1e-17}}}", "width: is a factor here, abov"),
        ("loguniform: [0.001, 0.00100001], prior: {width: 2}", "width: 2.0 is far wider than the"),
        ("choice: [0, 1], prior: {width: 0.5}", "the job's own value, 0.001, is none of 0 or 1."),
        ("uniform: [0.1, 1], prior: {width: 1}", "the job's own value, 0.001, is not in [0.1, 1]."),
        ("uniform: [0.1, 1], prior: {value: 2, width: 1}", "prior.value: 2 is not in [0.1, 1]."),
        ("uniform: [0.1, 1], prior: {value: a, width: 1}", "prior.value: 'a' is not in [0.1, 1]."),
    ],
)
def test_a_prior_is_a_value_of_its_axis(tmp_path: Path, axis: str, expected: str) -> None:
    found = mistakes(tmp_path, f"{LAMBDA}{{{axis}}}")
    assert len(found) == 1, found
    assert expected in found[0]


def test_unknown_keys_are_named_all_at_once_and_no_corner_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corners, "load_trial", lambda *_: pytest.fail("a corner was built"))
    typos = [f"search.space.method.lamda{number}={{uniform: [0, 1]}}" for number in range(40)]
    found = mistakes(tmp_path, *typos, "search.space.metod.p1={grid: [0], prior: {width: 1}}")
    assert len(found) == 41
    assert found[0].startswith(
        "--set  search.space.method.lamda0: unknown key. Did you mean 'lambda'? Known: "
    )
    assert "search.space.metod.p1: unknown key. Did you mean 'method'? Known: " in found[-1]


def test_names_of_layers_are_no_unknown_keys(tmp_path: Path) -> None:
    axis = "search.space.quantizer.assignment={choice: [{conv1: 8}, {}]}"
    assert not any("unknown key" in line for line in mistakes(tmp_path, axis))
    axis = "search.space.quantizer.assignment.conv1={choice: [8, 4]}"
    assert not any("unknown key" in line for line in mistakes(tmp_path, axis))


def test_a_prior_of_a_key_without_a_value_gives_one(tmp_path: Path) -> None:
    axis = "search.space.start.weights={choice: [/a, /b], prior: {width: 0.5}}"
    (found,) = mistakes(tmp_path, axis)
    assert "start.weights.prior: the job has no value of this key to take" in found


def test_all_mistakes_are_named_at_once_with_their_lines(tmp_path: Path) -> None:
    text = JOB.replace(
        "search: {space: {method.p1: {uniform: [0.3, 0.9]}}, metric: mean, trials: 4}",
        "search:\n  space:\n    name: {grid: [a]}\n    method.p1: {choice: [1, 1]}\n"
        "  metric: best\n  scheduler: {name: pbt}",
    ).replace("global_batch: 128", "global_batch: 100").replace("data}", "data}\n") + (
        "cluster: {num_workers: 3}\n"
    )
    lines = mistakes(tmp_path, text=text)
    assert [line.partition("mine.yaml:")[2].partition(": ")[0] for line in lines] == [
        "15  cluster.num_workers",
        "11  search.space.name",
        "12  search.space.method.p1",
        "9  search.trials",
        "14  search.scheduler.name",
        "13  search.metric",
    ]


def test_the_last_seed_is_one_that_a_job_can_have(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "seed=2147483646", "search.seeds=2") == []
    (found,) = mistakes(tmp_path, "seed=2147483647", "search.seeds=2")
    assert "search.seeds: the job's seed is 2147483647; the last would be 2**31 or above." in found


def test_a_grid_knows_how_many_trials_it_has(tmp_path: Path) -> None:
    grid = ("search.space.method.p1={grid: [0.1, 0.2]}", "search.searcher.name=grid")
    condition = f"{LAMBDA}{{grid: [0, 1, 2], when: {{method.p1: 0.1}}}}"
    assert mistakes(tmp_path, *grid, condition, "search.trials=4") == []
    (found,) = mistakes(tmp_path, *grid, condition, "search.trials=5")
    assert found == "--set  search.trials: the grid has 4 combinations, got 5."
    assert mistakes(tmp_path, *grid, condition, "search.trials=null") == []


def test_an_endless_grid_needs_a_number_of_trials(tmp_path: Path) -> None:
    values = ", ".join(str(number / 200) for number in range(101))
    grid = [f"search.space.{key}={{grid: [{values}]}}" for key in ("method.p1", "method.lambda")]
    (found,) = mistakes(tmp_path, *grid, "search.searcher.name=grid", "search.trials=null")
    assert "search.space: has more than 10000 combinations" in found


def test_a_searcher_that_is_not_installed_names_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_check, "find_spec", lambda name: None)
    (found,) = mistakes(tmp_path, "search.searcher.name=optuna")
    assert found == (
        "--set  search.searcher.name: optuna is not installed here; pip install 'orch[search]' "
        "brings it."
    )


def test_a_key_that_every_phase_sets_is_not_searched(tmp_path: Path) -> None:
    phases = "phases=[{optimizer: {lr: 1}}, {optimizer: {lr: 2}, method: {p1: 0.5}}]"
    (found,) = mistakes(tmp_path, phases, "search.space.optimizer.lr={uniform: [1, 2]}")
    assert found == "--set  search.space.optimizer.lr: no effect, every phase sets it."


def test_epochs_are_searched_where_nothing_is_stopped_early(tmp_path: Path) -> None:
    axis = "search.space.training.epochs={choice: [2, 3]}"
    assert mistakes(tmp_path, axis) == []
    (found,) = mistakes(tmp_path, axis, "search.scheduler.name=asha")
    assert "'asha' compares runs of one length; set search.scheduler.name=none." in found


def test_a_search_is_not_trained_at_each_bit_width(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(JOB)
    with pytest.raises(JobFileError) as caught:
        load_each_bit_width(file)
    assert "mine.yaml:8  search: --each-bit-width trains one run" in caught.value.mistakes[0]
    assert len(load_each_bit_width(file, ["search=null"])) == 4


def test_a_prior_of_a_grid_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(JOB)
    axis = f"{LAMBDA}{{grid: [0.001, 1], prior: {{width: 0.5}}}}"
    expected = "search.space.method.lambda.prior: no effect, all values of a grid are tried."
    assert load_job(file, [axis]).warnings == [expected]


def test_grid_axes_have_an_end_beside_any_searcher(tmp_path: Path) -> None:
    grids = (
        f"{LAMBDA}{{grid: {list(range(101))}}}",
        f"search.space.seed={{grid: {list(range(100))}}}",
    )
    found = mistakes(tmp_path, *grids)
    assert any("search.space: has more than 10000 combinations; list fewer" in one for one in found)
