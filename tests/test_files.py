"""Files appear as a whole or not at all."""

import os
import stat
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.files import appearing, write_atomic


def names(folder):
    """What lies in a folder, hidden files included."""
    return sorted(os.listdir(folder))


def test_the_file_appears_at_the_end(tmp_path):
    path = tmp_path / "out.txt"
    with appearing(path) as unfinished:
        unfinished.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(tmp_path) == ["out.txt"]


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    write_atomic(str(path), "r in \N{ANGSTROM SIGN}\n")
    assert path.read_bytes() == "r in \N{ANGSTROM SIGN}\n".encode()
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["out.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_in_the_middle_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(error, match="halfway"):
        with appearing(path) as unfinished:
            unfinished.write_text("ne")
            raise error("halfway")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_a_full_disk_is_named(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(CbldmError) as caught:
        with appearing(path) as unfinished:
            unfinished.write_text("ne")
            raise OSError(28, "No space left on device")
    text = str(caught.value)
    assert text.startswith(f"{path}: cannot be written (No space left")
    assert "choose another" in text
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(CbldmError, match="cannot be written"):
        with appearing(tmp_path / "out.txt"):
            pass
    assert names(tmp_path) == []


def test_missing_folders_are_made(tmp_path):
    write_atomic(tmp_path / "a" / "b" / "out.txt", "text")
    assert (tmp_path / "a" / "b" / "out.txt").read_text() == "text"
    assert names(tmp_path / "a") == ["b"]


def test_folders_and_files_of_the_same_name(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CbldmError, match="file/out.txt: cannot be written"):
        write_atomic(tmp_path / "file" / "out.txt", "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CbldmError, match="folder: cannot be written"):
        write_atomic(tmp_path / "folder", "text")
    assert names(tmp_path) == ["file", "folder"]
    assert names(tmp_path / "folder") == []


@pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0,
    reason="the superuser may write to every folder",
)
def test_folders_that_are_not_writable(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CbldmError, match="Permission denied"):
            write_atomic(path, "new")
    finally:
        tmp_path.chmod(0o700)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.txt"]


def test_two_writers_at_once(tmp_path):
    """Each has a file of its own; the last to end wins."""
    path = tmp_path / "out.txt"
    with appearing(path) as first:
        first.write_text("first")
        with appearing(path) as second:
            second.write_text("second")
        assert first != second
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert names(tmp_path) == ["out.txt"]


def test_many_writers_and_a_reader(tmp_path):
    """The reader never finds a part of a file, nor a mixture."""
    path = tmp_path / "out.txt"
    texts = [str(k) * 100_000 for k in range(4)]
    write_atomic(path, texts[0])
    writers = [
        threading.Thread(
            target=lambda text: [write_atomic(path, text) for _ in range(10)],
            args=(text,),
        )
        for text in texts
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_text() in texts
    for writer in writers:
        writer.join()
    assert names(tmp_path) == ["out.txt"]


def test_libraries_find_the_extension(tmp_path):
    """NumPy adds one where it is missing; others choose the format by it."""
    path = tmp_path / "rows.tar.npz"
    with appearing(path) as unfinished:
        assert unfinished.name == path.name
        np.savez(unfinished, rows=np.arange(3))
    assert np.load(path)["rows"].tolist() == [0, 1, 2]
    assert names(tmp_path) == [path.name]


def test_what_libraries_put_beside_the_file_is_removed(tmp_path):
    path = tmp_path / "out.db"
    with appearing(path) as unfinished:
        unfinished.write_text("rows")
        unfinished.with_name("out.db-journal").write_text("journal")
    assert names(tmp_path) == ["out.db"]


def test_unfinished_files_are_hidden_from_patterns(tmp_path):
    """Another process that looks for results takes whole ones alone."""
    with appearing(tmp_path / "out.json") as unfinished:
        unfinished.write_text("{")
        assert list(tmp_path.glob("*.json")) == []
        unfinished.write_text("{}")
    assert list(tmp_path.glob("*.json")) == [tmp_path / "out.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_modes_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "text", "text")
        with appearing(tmp_path / "tensors") as unfinished:
            save_file({"a": torch.zeros(2)}, unfinished)
    finally:
        os.umask(before)
    for name in ("text", "tensors"):
        mode = stat.S_IMODE((tmp_path / name).stat().st_mode)
        assert mode == 0o666 & ~umask, name
