"""The tests can fail: faults that people really make, put into a copy of gptcore one by one, are all caught."""

import json
import os
import subprocess
import sys

import pytest
from mutations import FAULTS, TESTS


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """What became of each fault: the number of failures, by the fault's name; and what was said."""
    command = [sys.executable, TESTS / "mutations.py", tmp_path_factory.mktemp("copy")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert finished.returncode == 0, finished.stderr
    return dict(map(json.loads, finished.stdout.splitlines())), finished.stderr


def test_the_readme_knows_how_many_there_are():
    readme = (TESTS.parent / "README.md").read_text(encoding="utf-8")
    assert f"- {sum(map(len, FAULTS.values()))} faults that people really make" in readme


@pytest.mark.parametrize(("test", "fault"), [(test, fault) for test, faults in FAULTS.items() for fault in faults])
def test_a_fault_is_caught(test, fault, tried):
    failures, said = tried
    assert failures[fault] >= 1, f"{test} did not notice:\n{said}"
