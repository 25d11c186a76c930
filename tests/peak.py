"""How far the memory of a process rises while it does something: its peak, which looking now and then may miss."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
def peak():
    try:  # a new process inherits its parent's peak, but not in this file
        return 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
{prepare}
before = peak()
{work}
print(peak() - before)
"""


def rise_of_peak(prepare, work):
    """By how many bytes a new process's peak rises during the statement `work`, after the statement `prepare`."""
    pytest.importorskip("resource", reason="Windows does not tell a process's peak memory this way")
    program = PROGRAM.format(prepare=prepare, work=work)
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
