"""Settings of nbgrader for this series: copy this file into the course folder. The guide is README.md."""

c = get_config()  # noqa: F821 - nbgrader gives it

c.CourseDirectory.course_id = "gpt"
c.ClearSolutions.code_stub = {"python": "pass  # your answer here"}  # a blank runs; the check says "not answered yet"

# A cell that never ends is stopped, scores nothing, and the cells after it are graded all the same.
c.Execute.timeout = 60
c.Execute.interrupt_on_timeout = True
