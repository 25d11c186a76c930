"""Settings of nbgrader for this series: copy this file into the course folder. The guide is README.md."""

from nbgrader.preprocessors import CheckCellMetadata, ClearOutput, DeduplicateIds, OverwriteCells, OverwriteKernelspec

c = get_config()  # noqa: F821 - nbgrader gives it

c.CourseDirectory.course_id = "gpt"
c.ClearSolutions.code_stub = {"python": "pass  # your answer here"}  # a blank runs; the check says "not answered yet"

# A cell that never ends is stopped, scores nothing, and the cells after it are graded all the same.
c.Execute.timeout = 60
c.Execute.interrupt_on_timeout = True


class LastCopyCounts(DeduplicateIds):
    """A student copied a cell: the last one counts, the others are plain cells. nbgrader would stop at them."""

    def preprocess_cell(self, cell, resources, cell_index):
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if cell.metadata.get("nbgrader") == {}:
            del cell.metadata["nbgrader"]
        return cell, resources


c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    LastCopyCounts,
    OverwriteKernelspec,
    OverwriteCells,
    CheckCellMetadata,
]
