"""Files that appear whole or not at all."""

import stat

import pytest

from common.files import write_atomically


def test_a_file_is_written_whole_and_for_its_owner(tmp_path) -> None:
    path = tmp_path / "new folder" / "photo"
    write_atomically(path, [b"one ", b"two"])
    assert path.read_bytes() == b"one two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_atomically(path, [b"three"])
    assert path.read_bytes() == b"three"
    assert [each.name for each in path.parent.iterdir()] == ["photo"]


def test_what_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(b"old")

    def chunks():
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_atomically(path, chunks())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
