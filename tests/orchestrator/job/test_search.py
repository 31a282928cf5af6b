from orchestrator.job.search import Search, axes, fixed, flat

OWN = {"name": "mine", "method": {"name": "coquant", "p1": 0.7}, "search": None}


def search(**space: object) -> Search:
    return Search.model_validate({"space": {key.replace("__", "."): space[key] for key in space}})


def test_a_prior_without_a_value_takes_the_job_s_own() -> None:
    found = axes(
        search(
            method__p1={"uniform": [0.0, 1.0], "prior": {"width": 0.1}},
            method__name={"choice": ["coquant", "adabits"], "prior": {"value": "x", "width": 0.1}},
            seed={"grid": [1, 2]},
        ),
        OWN,
    )
    priors = [axis.prior and axis.prior.value for axis in found.values()]
    assert priors == [0.7, "x", None]


def test_conditions_refer_to_fixed_values_of_the_job() -> None:
    when = {"method.name": "coquant", "method.p1": 0.7}
    axis = {"grid": [1, 2], "when": when}
    assert fixed(search(seed=axis, method__p1={"grid": [0.1]}), OWN) == {"method.name": "coquant"}


def test_values_have_dotted_keys_whole_sections_as_well() -> None:
    assert flat({"a": {"b": {"c": 1}, "d": []}}) == {
        "a": {"b": {"c": 1}, "d": []},
        "a.b": {"c": 1},
        "a.b.c": 1,
        "a.d": [],
    }
