"""`make_accounts.sh` with class lists as they come, in a namespace: its accounts are gone when it ends."""

import os
import subprocess
from pathlib import Path

import pytest
from test_faults import needs_mounts

ACCOUNTS = Path(__file__).parents[2] / "notebooks" / "teaching" / "make_accounts.sh"
START = """set -eu
cp -a /etc etc
mount --bind etc /etc
mount -t tmpfs -o mode=755 tmpfs /home
useradd --create-home teacher
for list in "$@"; do
    code=0
    printf "$list" > class.txt
    bash project/notebooks/teaching/make_accounts.sh class.txt >> passwords.txt || code=$?
    echo "$code $(cut -d' ' -f1 passwords.txt | paste -sd,)"
done
id -nG teacher"""

pytestmark = [pytest.mark.classroom, needs_mounts]


def said(tmp_path, *lists):
    """Return what is said for class lists, one after the other: exit code and whose passwords there are."""
    teaching = tmp_path / "project" / "notebooks" / "teaching"
    (teaching.parent / "exercises").mkdir(parents=True)
    teaching.mkdir()
    (teaching / "make_accounts.sh").write_bytes(ACCOUNTS.read_bytes())
    for name in ("00.ipynb", "glossary.md"):
        (teaching.parent / name).touch()
    command = ["unshare", "--mount", "bash", "-c", START, "start", *lists]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines(), finished.stderr


def test_the_last_name_counts_and_so_does_a_list_from_windows(tmp_path):
    out, _ = said(tmp_path, "anna\\nben", "\\xef\\xbb\\xbfcem\\r\\ndora\\r\\n")
    assert out[:2] == ["0 anna,ben", "0 anna,ben,cem,dora"]


def test_nothing_is_made_where_a_name_cannot_be_one_and_no_password_is_lost(tmp_path):
    out, errors = said(tmp_path, "anna\\n", "ben\\nEmil\\nAna Garcia\\n", "anna\\nben\\nemil\\n")
    assert out[:3] == ["0 anna", "2 anna", "0 anna,ben,emil"]
    assert "    Emil\n    Ana Garcia\n" in errors


def test_a_teacher_who_has_an_account_may_log_in_to_the_hub(tmp_path):
    out, _ = said(tmp_path, "teacher\\nanna\\n")
    assert out == ["0 anna", "teacher students"]
