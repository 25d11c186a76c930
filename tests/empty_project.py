"""A project with this one's settings for the test run and no test, for tests of the test run itself."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = [
    *("conftest.py", "tests/budget.toml", "tests/notebooks/sanitize.cfg", "tests/offline/sitecustomize.py"),
    *("tests/unchanged.py", "gptcore/tools/kernel_memory.py"),
]


def copy_settings(folder):
    for name in SETTINGS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    ini = "[pytest]\npythonpath = tests gptcore/tools\naddopts = --nbval --nbval-current-env\n"
    (folder / "pytest.ini").write_text(ini, encoding="utf-8")
