from orchestrator.job.words import FEW, MOST, suggestion


def test_a_short_list_is_shown_whole() -> None:
    assert suggestion("lamda", ["p1", "lambda"]) == " Did you mean 'lambda'? Known: lambda, p1."
    assert suggestion("xyz", ["p1", "lambda"]) == " Known: lambda, p1."


def test_of_a_long_list_the_most_similar_are_shown_and_where_all_are() -> None:
    rows = [f"paper_t{table}_row{row}" for table in range(10) for row in range(20)]
    for word, meant in (("paper_t7_rwo3", " Did you mean 'paper_t7_row3'?"), ("zzz", "")):
        said = suggestion(word, rows, where="the folder has all")
        assert said.startswith(f"{meant} Known: ")
        assert said.endswith(f" and {len(rows) - FEW} more (the folder has all).")
        assert len(said) < 300
    assert "more" not in suggestion("zzz", rows[:MOST])
