"""How much memory a kernel needs, told apart from what the system merely keeps for it.

*Private* pages are a process's own: what it has built, loaded or computed. The machine must have them. Pages *mapped*
from files, most of them PyTorch's libraries, are shared by all kernels and can be dropped and read again, so how many
are resident is the system's choice: the same notebook was seen with 110 MB of them, and an hour later with 200.
"""

import functools
import subprocess
import sys
import threading

import psutil

MEGABYTE = 10**6
SECONDS_BETWEEN_LOOKS = 0.01  # what comes and goes faster than that is small: writing 100 MB takes longer


def private_bytes(memory):
    """The bytes that are the process's own, of psutil's memory_info(); all of them where the system does not tell."""
    return memory.rss - getattr(memory, "shared", 0)  # Linux: `shared` are the pages mapped from files


class MemoryWatch:
    """Looks at a process again and again, and keeps the most memory that it has had.

    private, total: MB (10^6 bytes), up to now.
    """

    def __init__(self, process_id):
        self.process_id = process_id
        self.private = self.total = 0.0
        self._process = psutil.Process(process_id)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_until_ended, daemon=True)
        self._thread.start()

    def end(self):
        """Look a last time."""
        self._ended.set()
        self._thread.join()

    def _look_until_ended(self):
        is_last = False
        while not is_last:
            is_last = self._ended.wait(SECONDS_BETWEEN_LOOKS)
            try:
                memory = self._process.memory_info()
            except psutil.NoSuchProcess:
                return
            self.private = max(self.private, private_bytes(memory) / MEGABYTE)
            self.total = max(self.total, memory.rss / MEGABYTE)


@functools.cache
def megabytes_of_pytorch():
    """The private MB of a process that has imported PyTorch and done nothing else."""
    program = [sys.executable, "-c", "import torch; print('imported', flush=True); input()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "imported\n"
        megabytes = private_bytes(psutil.Process(process.pid).memory_info()) / MEGABYTE
        process.communicate("\n")
    return megabytes
