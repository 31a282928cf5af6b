"""The table of orch sizes against the published one, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.runs import registry
from orchestrator.runs.registry import Record
from tests.orchestrator.cli.conftest import Orch

MOBILENET = """
name: v1
model: {name: mobilenet_v1, stem_bn_shared: false}
quantizer: {bit_widths: [8, 6, 5, 4], stem_bits: 8, head_bits: 8}
data: {name: imagenet, root: nowhere}
method: {name: adabits}
optimizer: {lr: 0.05}
training: {epochs: 2, global_batch: 24}
"""


def test_the_table_is_that_of_adabits(orch: Orch, tmp_path: Path) -> None:
    (tmp_path / "v1.yaml").write_text(MOBILENET)
    lines = orch("sizes", "v1.yaml").stdout.splitlines()
    rows = {cells[0]: cells[1:3] for cells in (line.split() for line in lines if line)}
    assert rows["8bit"] == ["4.10", "36.40"]
    assert rows["4bit"] == ["2.58", "9.67"]
    assert rows["adaptive"] == ["4.35", "-"]
    assert rows["float"][0] == "16.14"  # 4 bytes for each of 4,209,088 weights, batch norm
    assert lines[-1] == "mobilenet_v1, 1000 classes, inputs of 224x224"


def test_json_has_whole_numbers_and_options_change_the_inputs(orch: Orch) -> None:
    done = orch("sizes", "tiny.yaml", "--json", "--image-size", "64", "--classes", "7")
    printed = json.loads(done.stdout)
    assert (printed["classes"], printed["image_size"]) == (7, 64)
    assert "0.00" not in orch("sizes", "tiny.yaml").stdout.split()
    points = {point["point"]: point for point in printed["points"]}
    assert list(points) == ["float", "8bit", "6bit", "4bit", "2bit", "adaptive"]
    usual = json.loads(orch("sizes", "tiny.yaml", "--json", "--classes", "7").stdout)["points"]
    assert points["4bit"]["c_size"] == usual[3]["c_size"]
    # All but the linear layer's 56 products, in floats here, has four times as many places.
    assert points["4bit"]["bitops"] - 56 * 1024 == 4 * (usual[3]["bitops"] - 56 * 1024)
    assert points["adaptive"]["bitops"] is None


def test_a_stage_in_float_weights_is_no_part_of_the_network_that_is_stored(
    orch: Orch, tmp_path: Path
) -> None:
    """As large as the network of the last phase by itself; that of other phases has more points."""

    def adaptive(name: str, phases: str) -> float:
        text = "extends: tiny.yaml\nmethod: {name: bitmixer, stage: 2}\n"
        (tmp_path / f"{name}.yaml").write_text(text + phases)
        printed = json.loads(orch("sizes", f"{name}.yaml", "--json").stdout)["points"]
        assert printed[-1]["point"] == "adaptive"
        return float(printed[-1]["size_mib"])

    first = "{method: {stage: 1}, quantizer: {bit_widths: [w32a8, w32a2]}}"
    last = "{method: {stage: 2}}"
    alone = adaptive("alone", "")
    assert adaptive("staged", f"phases: [{first}, {last}]") == alone
    more = "{method: {stage: 2}, quantizer: {bit_widths: [8, 5]}}"
    assert adaptive("more", f"phases: [{more}, {last}]") > alone


def test_each_layer_of_the_stored_network_has_the_most_bits_of_any_point(
    orch: Orch, tmp_path: Path
) -> None:
    """Also where no point has them all: `mixed` has two layers with fewer than 4bit has there."""
    low = "layer2.0.conv1: 2, layer2.0.conv2: 2"
    mixed = f"assignment: {{mixed: {{default: 8, {low}}}}}"
    text = f"quantizer: {{bit_widths: [4, 2], {mixed}}}\n"
    (tmp_path / "mixed.yaml").write_text("extends: tiny.yaml\n" + text)
    printed = json.loads(orch("sizes", "mixed.yaml", "--json").stdout)["points"]
    c_size = {row["point"]: row["c_size"] for row in printed}
    in_mixed = (c_size["mixed"] - c_size["2bit"]) / 6  # weights of 8 bits there, of 2 at 2bit
    others = (c_size["4bit"] - c_size["2bit"]) / 2 - in_mixed
    assert others > 0
    assert c_size["adaptive"] == c_size["2bit"] + 6 * in_mixed + 2 * others


def test_the_network_of_a_run_is_that_of_its_job(orch: Orch, submitted: Callable[..., str]) -> None:
    run = submitted()
    by_run = json.loads(orch("sizes", run, "--json").stdout)["points"]
    assert by_run == json.loads(orch("sizes", "tiny.yaml", "--json").stdout)["points"]


def test_the_network_of_a_trial_is_its_own(orch: Orch, search: Record) -> None:
    trial = registry.find(f"{search.run}.t002")
    trial.folder.make()
    trial.folder.job.write(MOBILENET + "model: {name: mobilenet_v1, width: 0.5}\n")
    by_trial = json.loads(orch("sizes", trial.run, "--json").stdout)["points"]
    trial.folder.job.write(MOBILENET)
    assert (
        by_trial[0]["size_mib"]
        < 0.5 * json.loads(orch("sizes", trial.run, "--json").stdout)["points"][0]["size_mib"]
    )
    done = orch("sizes", f"{search.run}.t009")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"The job of {search.run}.t009 is not seen here" in done.stderr


def test_widths_are_found_for_a_size(orch: Orch) -> None:
    done = orch("sizes", "tiny.yaml", "--json", "--c-size", "0.05")
    widths = [point["width"] for point in json.loads(done.stdout)["points"]]
    assert widths[1:-1] == sorted(widths[1:-1])
    assert (widths[0], widths[-1]) == (None, None)
    again = orch("sizes", "tiny.yaml", "--json", "--set", f"model.width={widths[-2]}")
    found = json.loads(again.stdout)["points"][-2]["c_size"]
    assert found == pytest.approx(50_000, rel=0.2)


def test_the_figure_has_its_data_beside_it(orch: Orch, tmp_path: Path) -> None:
    done = orch("sizes", "tiny.yaml", "--plot", "made/here.png")
    assert (done.exit_code, done.stderr) == (0, "Written: made/here.png and .csv\n")
    assert (tmp_path / "made/here.png").read_bytes().startswith(b"\x89PNG")
    head, *rows = (tmp_path / "made/here.csv").read_text().splitlines()
    assert head == "point,bitops_1e9,size_mib"
    assert [row.split(",")[0] for row in rows] == ["float", "8bit", "6bit", "4bit", "2bit"]


def test_a_network_that_no_memory_holds_is_counted(orch: Orch) -> None:
    wide = ("--set", "model={name: resnet18, width: 64}")  # with a shortcut more than usual
    options = ("--classes", "1000000000", *wide, "--json")
    first = json.loads(orch("sizes", "tiny.yaml", *options).stdout)["points"][0]
    assert first["size_mib"] * 2**20 > 4 * 8 * 64 * 1_000_000_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("tiny.yaml", "--plot", "sizes.pdf"),
            "--plot sizes.pdf: the name of a figure ends in .png",
        ),
        (("tiny.yaml", "--plot", "tiny.yaml/x.png"), "tiny.yaml cannot be made"),
        (("tiny.yaml", "--plot", "."), "'.' is a directory"),
        (("tiny.yaml", "--c-size", "0.000001"), "--c-size cannot be reached at 8bit: even 0.001"),
        (("tiny.yaml", "--classes", "100000000000"), "is not in the range 1<=x<=1000000000"),
        (("missing.yaml",), "missing.yaml"),
        (("nobody",), "nobody"),
        (("tiny.yaml", "--c-size", "nan"), "nan is not a finite number"),
        (("tiny.yaml", "--c-size", "inf"), "inf is not a finite number"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    orch: Orch, options: tuple[str, ...], message: str
) -> None:
    done = orch("sizes", *options)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""
