"""A file is written whole or not at all, through nothing that lies in the way, and what went wrong is said in a sentence."""

import errno
import os
import stat
from pathlib import Path

import pytest

from causalmix_nb import files
from causalmix_nb.files import replacing, why_not, write_whole


def test_what_is_written_takes_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "note"
    write_whole(path, "ä\r\n")
    assert path.read_bytes() == "ä\r\n".encode()
    write_whole(path, b"\0two")
    assert path.read_bytes() == b"\0two" and list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "note"
    write_whole(path, "one")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("tw")
        raise ZeroDivisionError
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_of_a_file_before_it_is_whole(tmp_path):
    path = tmp_path / "note"
    with replacing(path) as partial:
        partial.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"


def test_a_link_that_lies_in_the_way_is_not_written_through(tmp_path, monkeypatch):
    path, victim = tmp_path / "note", tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "guessed")
    (tmp_path / ".note.guessed.partial").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_whole(path, "yours")
    assert victim.read_text() == "mine"


def test_a_link_stays_a_link_to_what_is_new(tmp_path):
    real = tmp_path / "real"
    real.write_text("old")
    (link := tmp_path / "link").symlink_to(real)
    write_whole(link, "new")
    assert link.is_symlink() and real.read_text() == "new"


def test_permissions_are_kept_and_those_of_a_new_file_are_the_usual_ones(tmp_path):
    write_whole(new := tmp_path / "new", "")
    (usual := tmp_path / "usual").touch()
    assert stat.S_IMODE(new.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    new.chmod(0o640)
    write_whole(new, "again")
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


def test_the_disk_has_file_and_folder_before_and_after_the_name_changes(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(files, "_sync", lambda path: done.append(path.is_dir()))
    real = os.replace
    monkeypatch.setattr(files.os, "replace", lambda *a: (done.append("renamed"), real(*a)))
    write_whole(tmp_path / "note", "x")
    assert done == [False, "renamed", True]
    write_whole(tmp_path / "note", "y", durable=False)
    assert done == [False, "renamed", True, "renamed"]


def test_a_long_name_is_written_too(tmp_path):
    write_whole(tmp_path / ("n" * 255), "x")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "do"),
    [
        (errno.ENOSPC, "free disk space"),
        (errno.EDQUOT, "free disk space"),
        (errno.EACCES, "make the folder writable"),
        (errno.EROFS, "choose a folder that can be written"),
        (errno.EISDIR, "choose another name"),
        (errno.ENOENT, "make the folder a"),
    ],
)
def test_what_went_wrong_is_said_with_what_to_do(number, do):
    said = why_not(Path("a/b"), OSError(number, os.strerror(number)))
    assert said == f"cannot write a/b ({os.strerror(number)}); {do}"


def test_a_folder_in_its_place_is_no_file(tmp_path):
    (tmp_path / "note").mkdir()
    with pytest.raises(OSError, match="[Dd]irectory") as raised:
        write_whole(tmp_path / "note", "x")
    assert "choose another name" in why_not(tmp_path / "note", raised.value)
    assert list(tmp_path.iterdir()) == [tmp_path / "note"]
