"""Settings of nbgrader for this series: copy this file into the course folder. The guide is README.md."""

import copy
import os
import re

from jupyter_core.utils import run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.preprocessors import ClearMetadataPreprocessor, CSSHTMLHeaderPreprocessor
from nbformat.v4 import new_output
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    Execute,
    GetGrades,
    IgnorePattern,
    LimitOutput,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from nbgrader.utils import is_grade, is_locked
from traitlets import default

c = get_config()  # noqa: F821 - nbgrader gives it

c.CourseDirectory.course_id = "gpt"
c.ClearSolutions.code_stub = {"python": "pass  # your answer here"}  # a blank runs; the check says "not answered yet"

# A cell that never ends is stopped, scores nothing, and the cells after it are graded all the same.
c.Execute.timeout = 240  # 14.3 trains for two minutes, on a machine that may be busy
c.Execute.interrupt_on_timeout = True
c.Execute.iopub_timeout = 10  # on a busy machine the last words of a cell may be late
c.Execute.shutdown_kernel = "immediate"  # what cannot be stopped does not end by itself either


class LastCopyCounts(DeduplicateIds):
    """A student copied a cell: the last one counts, the others are plain cells. nbgrader would stop at them."""

    def preprocess_cell(self, cell, resources, cell_index):
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if cell.metadata.get("nbgrader") == {}:
            del cell.metadata["nbgrader"]
        return cell, resources


class ExecuteTheRest(Execute):
    """Execute a notebook; leave out a cell that cannot be stopped or that ends Python, and do the rest again.

    nbgrader alone would give nothing at all for a submission with such a cell. And what was given out has all the time
    that it needs: importing PyTorch on a busy machine is not a student's endless loop.
    """

    @default("timeout_func")
    def _patience(self):
        return lambda cell: 600 if is_locked(cell) and not is_grade(cell) else self.timeout

    def preprocess(self, nb, resources, km=None):
        self.left_out, self.running = {}, None  # by a cell's index: why; the index of the cell that is running
        while True:
            try:
                return super().preprocess(copy.deepcopy(nb), resources, km)
            except (CellTimeoutError, DeadKernelError) as error:
                if self.running is None or self.running in self.left_out:  # no cell's fault
                    raise
                if isinstance(error, DeadKernelError):
                    why = "This cell ended Python itself: os._exit, for example, or too much memory."
                else:
                    why = f"This cell ran for more than {self.timeout} seconds and could not be stopped."
                self.log.warning("Cell %d: %s The rest is executed again without it.", self.running, why)
                self.left_out[self.running] = why

    async def async_start_new_kernel(self, **options):
        """Start a kernel that keeps nothing: what students solved is not the teacher's progress."""
        await super().async_start_new_kernel(env=os.environ | {"GPTCORE_KEPT": ""}, **options)

    start_new_kernel = run_sync(async_start_new_kernel)

    def preprocess_cell(self, cell, resources, index):
        self.running = index
        if index not in self.left_out:
            return super().preprocess_cell(cell, resources, index)
        said = f"LeftOut: {self.left_out[index]}"
        cell.outputs = [new_output("error", ename="LeftOut", evalue=self.left_out[index], traceback=[said])]
        return cell, resources


class ForStudents(GetGrades):
    """Show a student what the checks said, and not how the grading was done."""

    HIDDEN_TESTS = re.compile(r"\n*### BEGIN HIDDEN TESTS.*### END HIDDEN TESTS", re.DOTALL)
    DEAD_LINK = re.compile(r"\[([^\]]*)\]\(\.\./[^)]*\)")  # beside a page of feedback there is no lesson

    def preprocess_cell(self, cell, resources, cell_index):
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "progress":
            cell.outputs = []  # of this one run, and not of the student
        elif cell.cell_type == "markdown":
            cell.source = self.DEAD_LINK.sub(r"\1", cell.source)
        elif self.HIDDEN_TESTS.search(cell.source):
            cell.source = self.HIDDEN_TESTS.sub("", cell.source)
            failed = any(output.get("ename") == "AssertionError" for output in cell.outputs)
            cell.outputs = [output for output in cell.outputs if output.get("ename") != "AssertionError"]
            if failed and not any(re.match("[✗○]", output.get("text", "")) for output in cell.outputs):
                said = "✗ Not solved. This notebook's own check was changed; the real one does not accept the answer.\n"
                cell.outputs = [new_output("stream", text=said)]
        return cell, resources


class LongLines(CSSHTMLHeaderPreprocessor):
    """Break long lines, which would run out of their boxes."""

    def preprocess(self, nb, resources):
        nb, resources = super().preprocess(nb, resources)
        resources["inlining"]["css"].append("pre { white-space: pre-wrap !important; }")
        return nb, resources


c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    LastCopyCounts,
    OverwriteKernelspec,
    OverwriteCells,
    CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    ExecuteTheRest,
    IgnorePattern,
    ClearMetadataPreprocessor,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]
c.GenerateFeedback.preprocessors = [ForStudents, LongLines]
