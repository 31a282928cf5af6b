"""The user's file of clusters: what it gives, and all its mistakes at once."""

from pathlib import Path

import pytest

from orchestrator.cluster import named
from orchestrator.cluster.token import Token
from orchestrator.errors import JobFileError, UsageError

GOOD = """
lab:
  address: http://10.0.0.5:8265
  token_env: LAB_TOKEN
  output: /shared/runs
  tracking: {uri: "http://mlflow.lab:5000"}
big.one:
  address: https://ray.example.org
"""

WRONG = """
lab:
  adress: http://10.0.0.5:8265
  token_env: s3cr3t-t0ken
  training: {epochs: 3}
two words: {address: http://a:1}
host: {address: http://host}
hidden: {address: "http://me:hush@a:1"}
number: {address: 3}
word: http://a:1
word: http://b:1
"""


def write(text: str) -> Path:
    named.file().parent.mkdir(parents=True, exist_ok=True)
    named.file().write_text(text)
    return named.file()


def test_without_a_file_there_is_no_name_and_how_to_make_one_is_said(home: object) -> None:
    assert named.load() == {}
    with pytest.raises(UsageError, match=r"(?s)names none yet\. A name is two lines there: 'lab:'"):
        named.find("lab")


def test_a_name_stands_for_an_address_a_token_and_settings_of_jobs_with_their_lines(
    home: object,
) -> None:
    file = write(GOOD)
    lab = named.find("lab")
    assert (lab.address, lab.token) == ("http://10.0.0.5:8265", Token(None, "LAB_TOKEN", "lab"))
    assert lab.settings.values == {
        "output": "/shared/runs",
        "tracking": {"uri": "http://mlflow.lab:5000"},
    }
    assert lab.settings.where(("output",)) == f"{file}:5"
    assert lab.settings.where(("tracking", "uri")) == f"{file}:6"
    assert named.find("big.one").settings.values == {}
    assert named.names() == ["lab", "big.one"]


def test_an_unknown_name_is_answered_with_the_known_ones(home: object) -> None:
    write(GOOD)
    with pytest.raises(UsageError, match="Did you mean lab"):
        named.find("lob")
    with pytest.raises(UsageError, match=r"It names lab, big\.one\."):
        named.find("elsewhere")


def test_all_mistakes_are_named_at_once_with_their_lines_and_without_secrets(home: object) -> None:
    file = write(WRONG)
    with pytest.raises(JobFileError) as refused:
        named.load()
    begins = [line.removeprefix(f"{file}:").partition(": ")[0] for line in refused.value.mistakes]
    assert sorted(begins, key=lambda line: int(line.split()[0])) == [
        "2  lab",
        "3  lab.adress",
        "4  lab.token_env",
        "5  lab.training",
        "6  two words",
        "7  host.address",
        "8  hidden.address",
        "9  number.address",
        "10  word",
        "11  word",
    ]
    said = str(refused.value)
    assert "did you mean address?" in said
    assert "hush" not in said
    assert "s3cr3t" not in said
    assert named.names() == []


@pytest.mark.parametrize("text", ["[1]", "lab: {", "\xff"])
def test_a_file_of_another_kind_is_a_mistake_with_its_name(home: object, text: str) -> None:
    file = write("")
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(JobFileError, match=str(file)):
        named.load()


def test_a_run_counts_although_its_cluster_has_lost_its_name(
    home: object, caplog: pytest.LogCaptureFixture
) -> None:
    write(GOOD)
    assert named.token_of("lab") == Token(None, "LAB_TOKEN", "lab")
    assert named.token_of("gone") == Token()
    write("lab: 3")
    assert named.token_of("lab") == Token()
    assert len(caplog.records) == 2
