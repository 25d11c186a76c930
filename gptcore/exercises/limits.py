"""What a learner's code may use while it is checked: some seconds, one processor, and a few lines of print."""

import _thread
import contextlib
import io
import signal
import threading

import torch


class OutOfBounds(BaseException):
    """Code was stopped. Not an Exception, so that a learner's `except Exception` does not catch it."""


class _ShortText(io.StringIO):
    """What is printed, up to a number of characters."""

    def __init__(self, characters):
        super().__init__()
        self.characters = characters

    def write(self, text):
        if self.tell() + len(text) > self.characters:
            raise OutOfBounds(f"it printed more than {self.characters:,} characters and was stopped.")
        return super().write(text)


@contextlib.contextmanager
def limits(seconds, characters=10_000):
    """Stop the body with OutOfBounds after `seconds`, or when it prints more than `characters`.

    Yields the text that was printed, which is not shown. The time limit needs the main thread, where a
    kernel runs its cells; in another thread only the printing is limited.
    """
    printed = _ShortText(characters)
    with contextlib.redirect_stdout(printed), _one_thread():
        if threading.current_thread() is threading.main_thread():
            with _time_limit(seconds):
                yield printed
        else:
            yield printed


@contextlib.contextmanager
def _one_thread():
    """Compute on one processor: while a class keeps them busy, sharing small products takes a hundred times as long."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


@contextlib.contextmanager
def _time_limit(seconds):
    over, late = threading.Event(), threading.Event()

    def interrupt_when_late():
        pause = seconds
        while not over.wait(pause):
            late.set()
            _interrupt_main_thread()
            pause = 0.2  # again and again: the code may have caught the first one

    def on_interrupt(signal_number, frame):
        if over.is_set():  # arrived while the body was ending
            return
        if not late.is_set():  # the learner pressed Stop
            raise KeyboardInterrupt
        raise OutOfBounds(f"it ran for more than {seconds} seconds and was stopped: is there a loop that never ends?")

    before = signal.signal(signal.SIGINT, on_interrupt)
    watch = threading.Thread(target=interrupt_when_late, daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
        signal.signal(signal.SIGINT, before)


def _interrupt_main_thread():
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # ends a sleep, too
    else:
        _thread.interrupt_main()  # Windows
