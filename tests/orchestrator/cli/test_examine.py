"""What show and validate print is read again with PyYAML and JSON."""

import json
from pathlib import Path

import yaml

from tests.orchestrator.cli.conftest import Orch

MISTAKES = """
name: tiny
model: {name: resnet51}
data: {name: cifar10, root: nowhere, crp: 3}
method: {name: coquant}
optimizer: {lr: fast}
training: {epochs: 0, global_batch: 24}
"""


def test_the_printed_job_is_yaml_that_means_the_same(orch: Orch) -> None:
    shown = orch("show", "tiny.yaml", "--set", "optimizer.lr=5e-4")
    printed = json.loads(orch("show", "tiny.yaml", "--set", "optimizer.lr=5e-4", "--json").stdout)
    assert yaml.safe_load(shown.stdout) == printed["job"]
    assert printed["job"]["optimizer"]["lr"] == 5e-4


def test_each_value_is_printed_with_its_origin_in_one_column(orch: Orch) -> None:
    lines = orch("show", "tiny.yaml", "--set", "optimizer.lr=0.5").stdout.splitlines()
    shown = {line.split("#")[0].strip(): line.split("# ")[1] for line in lines if "# " in line}
    assert shown["name: tiny"] == "tiny.yaml:2"
    assert shown["lr: 0.5"] == "--set"
    assert shown["momentum: 0.9"] == "default"
    assert len({line.index("#") for line in lines if "#" in line and len(line) < 80}) == 1


def test_the_printed_job_can_be_submitted_again(orch: Orch, tmp_path: Path) -> None:
    again = tmp_path / "again.yaml"
    again.write_text(orch("show", "tiny.yaml").stdout)
    first, second = (
        json.loads(orch("show", file, "--json").stdout)["job"] for file in ("tiny.yaml", str(again))
    )
    assert first == second


def test_all_mistakes_of_all_files_are_reported_at_once(orch: Orch, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(MISTAKES)
    done = orch("validate", "tiny.yaml", "wrong.yaml", "missing.yaml")
    assert done.exit_code == 2
    assert done.stdout == "tiny.yaml: ok\n"
    for key in ("model.name", "data.crp", "optimizer.lr", "training.epochs", "missing.yaml"):
        assert key in done.stderr
    assert done.stderr.splitlines()[-1] == "5 mistakes."


def test_validate_in_json_has_one_report_a_file(orch: Orch, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(MISTAKES)
    done = orch("validate", "tiny.yaml", "wrong.yaml", "--json")
    printed = json.loads(done.stdout)
    assert [report["ok"] for report in printed["files"]] == [True, False]
    assert (printed["ok"], len(printed["files"][1]["mistakes"])) == (False, 4)


def test_good_files_give_zero(orch: Orch) -> None:
    assert orch("validate", "tiny.yaml").exit_code == 0


def test_phases_are_shown_one_below_another_with_their_origins(orch: Orch) -> None:
    phases = "phases=[{training: {epochs: 1}, optimizer: {lr: 0.1}}, {}]"
    shown = orch("show", "tiny.yaml", "--set", phases).stdout
    printed = json.loads(orch("show", "tiny.yaml", "--set", phases, "--json").stdout)
    assert yaml.safe_load(shown) == printed["job"]
    assert [len(phase) for phase in printed["job"]["phases"]] == [2, 0]
    assert printed["origins"]["phases.1.optimizer.lr"] == "--set"
    below = shown.partition("phases:")[2].splitlines()
    assert below[1].split("#")[0].strip() == "- training:"
    assert below[2].startswith("    epochs: 1 ")
    assert below[2].endswith("# --set")
