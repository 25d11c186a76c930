"""Make what students open, notebooks/exercises, from what a teacher edits, notebooks/solutions.

    python notebooks/teaching/make_exercises.py

Solutions, hidden tests and outputs are taken out by nbgrader's own preprocessors, as `nbgrader generate_assignment`
does, but without a course. Gathers the teacher's pages anew, too. Needs requirements.txt of this folder.
"""

from pathlib import Path

import make_pages
from nbconvert.exporters import NotebookExporter
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
)
from traitlets.config import PyFileConfigLoader

TEACHING = Path(__file__).resolve().parent
NOTEBOOKS = TEACHING.parent
STEPS = [ClearSolutions, LockCells, ComputeChecksums, CheckCellMetadata, ClearOutput, ClearHiddenTests, ClearMarkScheme]


def student_version(solution):
    """Return the text of the student version of a solution notebook."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(TEACHING)).load_config()
    exporter = NotebookExporter(config=config)
    for step in STEPS:
        exporter.register_preprocessor(step(config=config), enabled=True)
    text, _ = exporter.from_filename(str(solution))
    return text.rstrip("\n") + "\n"


def main():
    for solution in sorted((NOTEBOOKS / "solutions").glob("*.ipynb")):
        target = NOTEBOOKS / "exercises" / solution.name
        target.write_text(student_version(solution), encoding="utf-8")
        print(target.relative_to(NOTEBOOKS))
    make_pages.main()


if __name__ == "__main__":
    main()
