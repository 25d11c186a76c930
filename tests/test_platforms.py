"""What can be installed where: each pin has a wheel for every supported machine, and everybody names the same range."""

import ast
import json
import re
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from wheels import WHEELS, pinned, pins, pythons, tags_of, targets

from gptcore.tools import bootstrap

ROOT = Path(__file__).parents[1]
NOTED = json.loads(WHEELS.read_text(encoding="utf-8"))


def environment(system, processor, full_version):
    """What markers see on a target."""
    return {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "nt" if system == "win32" else "posix",
        "platform_machine": "AMD64" if system == "win32" else processor,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[system],
        "python_full_version": full_version,
        "python_version": full_version.rsplit(".", 1)[0],
        "sys_platform": system,
    }


def without_a_wheel(system, processor, python):
    """The pins that apply on a target, with any of its Python's micro versions, and have no wheel for it."""
    wanted = set(map(str, tags_of(system, processor, python)))
    return {
        pinned(requirement)
        for requirement in pins()
        for micro in (0, 30)
        if requirement.marker is None
        or requirement.marker.evaluate(environment(system, processor, f"{python[0]}.{python[1]}.{micro}"))
        if not wanted & set(NOTED[pinned(requirement)])
    }


def test_the_wheels_of_every_pin_are_noted():
    assert set(NOTED) == set(map(pinned, pins())), "run tests/wheels.py"


@pytest.mark.parametrize(("system", "processor", "python"), list(targets()))
def test_every_pin_has_a_wheel(system, processor, python):
    assert without_a_wheel(system, processor, python) == set()


def test_a_pin_without_a_wheel_is_found():
    assert "torch==2.13.0" in without_a_wheel("linux", "x86_64", (3, 15))
    assert "torch==2.13.0" in without_a_wheel("darwin", "x86_64", (3, 12))
    assert without_a_wheel("linux", "x86_64", (3, 15)) < set(NOTED)  # most are for every Python


def test_everybody_names_the_same_pythons():
    oldest, newest = (f"{major}.{minor}" for major, minor in (pythons()[0], pythons()[-1]))
    names = [f"{major}.{minor}" for major, minor in pythons()]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = SpecifierSet(re.search(r'^requires-python = "(.+)"', project, re.MULTILINE)[1])
    assert [f"3.{minor}" for minor in range(30) if wanted.contains(f"3.{minor}.1")] == names
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert json.loads(re.search(r"python: (\[.+\])", workflow)[1]) == names
    for name in ("README.md", "notebooks/teaching/README.md"):
        assert f"Python {oldest} to {newest}" in (ROOT / name).read_text(encoding="utf-8")
    assert f"Python {oldest} to {newest}" in bootstrap.__doc__


GLIBC = ("glibc", "2.36")


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (((3, 10, 12), "linux", "x86_64", GLIBC, ""), ["Python 3.11 to 3.14", "3.10.12", "python.org"]),
        (((3, 15, 0), "linux", "x86_64", GLIBC, ""), ["Python 3.11 to 3.14", "3.15.0", "python3.14 gptcore"]),
        (((3, 12, 1), "darwin", "x86_64", ("", ""), "15.1"), ["Intel Macs", "darwin on x86_64", "Apple processor"]),
        (((3, 12, 1), "darwin", "arm64", ("", ""), "13.6"), ["macOS 14", "13.6"]),
        (((3, 12, 1), "linux", "x86_64", ("glibc", "2.17"), ""), ["glibc 2.28", "2.17", "Debian 10"]),
        (((3, 12, 1), "linux", "x86_64", ("musl", "1.2"), ""), ["musl", "Debian"]),
        (((3, 12, 1), "linux", "armv7l", GLIBC, ""), ["linux on armv7l", "aarch64"]),
        (((3, 12, 1), "win32", "arm64", ("", ""), ""), ["win32 on arm64", "AMD64"]),
        (((3, 12, 1), "win32", "32 bits", ("", ""), ""), ["32 bits", "64-bit Python"]),
    ],
)
def test_what_cannot_be_installed_is_said_at_once(machine, words):
    said = bootstrap.why_not_here(*machine)
    assert all(word in said for word in words), said
    assert "\n" not in said


@pytest.mark.parametrize("python", pythons())
@pytest.mark.parametrize(
    "machine",
    [
        ("linux", "x86_64", GLIBC, ""),
        ("linux", "aarch64", ("glibc", "2.28"), ""),
        ("linux", "x86_64", ("", ""), ""),  # not told: pip will
        ("darwin", "arm64", ("", ""), "14.0"),
        ("win32", "amd64", ("", ""), ""),
    ],
)
def test_what_can_be_installed_is_let_through(python, machine):
    assert bootstrap.why_not_here((*python, 1), *machine) is None


def test_an_old_python_can_read_the_sentence():
    source = Path(bootstrap.__file__).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))
