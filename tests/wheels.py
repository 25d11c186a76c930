"""Note for which machines each pinned version has a wheel. Asks the package index; the test that reads it need not.

    python tests/wheels.py

writes tests/wheels.json. To be run after a change of requirements.txt.
"""

import contextlib
import json
import urllib.request
from pathlib import Path

from packaging import tags
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from gptcore.tools import bootstrap

ROOT = Path(__file__).parents[1]
WHEELS = ROOT / "tests" / "wheels.json"
FILES = ["requirements.txt", "notebooks/teaching/requirements.txt", "gptcore/tools/site/requirements.txt"]
INDEX = "https://pypi.org/simple/{}/"


def pins():
    """Every pinned requirement, with its marker."""
    for name in FILES:
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", "-")):
                yield Requirement(line)


def pinned(requirement):
    return f"{requirement.name}{requirement.specifier}"


def pythons():
    (major, oldest), (_, newest) = bootstrap.OLDEST_PYTHON, bootstrap.NEWEST_PYTHON
    return [(major, minor) for minor in range(oldest, newest + 1)]


def platforms(system, processor):
    """The names that wheels have which run on the oldest supported system of that kind, the newest first."""
    if system == "linux":
        major, newest = bootstrap.OLDEST_GLIBC
        old_names = {12: "manylinux2010", 17: "manylinux2014", 5: "manylinux1"}
        for minor in range(newest, 4, -1):
            yield f"manylinux_{major}_{minor}_{processor}"
            if minor in old_names:
                yield f"{old_names[minor]}_{processor}"
    elif system == "darwin":
        yield from tags.mac_platforms(bootstrap.OLDEST_MACOS, processor)
    else:
        yield f"win_{processor}"


def targets():
    """Every supported (system, processor, Python)."""
    for system, processors in bootstrap.PROCESSORS.items():
        for processor in processors:
            for python in pythons():
                yield system, processor, python


def tags_of(system, processor, python):
    """The tags of wheels that a target can install."""
    names = list(platforms(system, processor))
    version = f"{python[0]}{python[1]}"
    return {
        *tags.cpython_tags(python, abis=[f"cp{version}"], platforms=names),
        *tags.compatible_tags(python, interpreter=f"cp{version}", platforms=names),
    }


def wheels_of(requirement):
    """The tags of all wheels of the pinned version that any target can install."""
    request = urllib.request.Request(
        INDEX.format(requirement.name), headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    wanted = set().union(*(tags_of(*target) for target in targets()))
    found = set()
    for file in files:
        if not file["filename"].endswith(".whl") or file["yanked"]:
            continue
        with contextlib.suppress(InvalidWheelFilename):  # of times before there were rules
            _, version, _, wheel = parse_wheel_filename(file["filename"])
            if requirement.specifier.contains(version, prereleases=True):
                found |= wheel & wanted
    return sorted(map(str, found))


def main():
    wheels = {}
    for requirement in pins():
        wheels[pinned(requirement)] = wheels_of(requirement)
        print(pinned(requirement), len(wheels[pinned(requirement)]), flush=True)
    WHEELS.write_text(json.dumps(wheels, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
