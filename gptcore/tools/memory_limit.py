"""A real limit on memory: a control group of Linux, which holds a process and all that it starts.

`ulimit -v` counts addresses, of which PyTorch reserves many gigabytes that it never uses; a control group counts pages.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

VERSION_1, VERSION_2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


def why_not_here():
    """Return the reason why memory cannot be limited on this machine, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs Linux and root: it makes a control group"
    try:
        with memory_limit(100):
            return None
    except OSError as error:
        return f"needs a control group for memory, which this machine does not allow ({error})"


@contextlib.contextmanager
def memory_limit(megabytes):
    """Yield the beginning of a command line that runs the rest of it, and all its children, in so much memory.

    What goes beyond is killed, as on a machine without more. Files that were read count only while there is room.
    """
    is_version_1 = VERSION_1.is_dir()
    group = (VERSION_1 if is_version_1 else VERSION_2) / f"gptcore-{os.getpid()}-{time.monotonic_ns()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if is_version_1 else "memory.max")).write_text(str(megabytes * 10**6))
        yield ["bash", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "start"]
    finally:
        for _ in range(100):  # the group's last processes may still be ending
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)
