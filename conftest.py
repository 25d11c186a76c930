"""Settings for the whole test run."""

import os
from pathlib import Path


def pytest_configure(config):
    # Kernels that nbval starts inherit it: a progress bar's times would differ from the stored outputs.
    os.environ["TQDM_DISABLE"] = "1"
    # nbval takes the path as relative to the current folder.
    config.option.nbval_sanitize_with = str(Path(__file__).parent / "tests" / "notebooks" / "sanitize.cfg")
