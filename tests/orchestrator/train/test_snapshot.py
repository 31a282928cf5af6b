from pathlib import Path

from orchestrator.train import snapshot


def test_a_half_written_list_is_replaced_by_the_copy_kept_before(tmp_path: Path) -> None:
    file = tmp_path / snapshot.SNAPSHOT
    file.write_text('{"checkpoints": [1]}')
    snapshot.keep(tmp_path)
    file.write_text('{"checkpoints": [1, 2')
    snapshot.keep(tmp_path)
    snapshot.mend(tmp_path)
    assert file.read_text() == '{"checkpoints": [1]}'


def test_a_whole_list_stays_and_a_first_half_written_one_goes(tmp_path: Path) -> None:
    file = tmp_path / snapshot.SNAPSHOT
    snapshot.mend(tmp_path)
    file.write_text('{"checkpoints": [1]}')
    snapshot.mend(tmp_path)
    assert file.read_text() == '{"checkpoints": [1]}'
    file.write_text("")
    snapshot.mend(tmp_path)
    assert not file.exists()
