"""What a learner's code may use while it is checked: some seconds, one processor, and a few lines of print."""

import _thread
import contextlib
import gc
import io
import random
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

    def close(self):
        """Stay open: learners' code that closes sys.stdout would take away what it has printed."""


@contextlib.contextmanager
def limits(seconds, characters=200_000):
    """Stop the body with OutOfBounds after `seconds`, or when it prints more than `characters`.

    Whoever looks at a tensor in each of a check's calls prints some ten thousand of them, and may be right.

    Yields the text that was printed, which is not shown. The time limit needs the main thread, where a
    kernel runs its cells; in another thread only the printing is limited.
    """
    printed = _ShortText(characters)
    with contextlib.redirect_stdout(printed), _usual_settings():
        if threading.current_thread() is threading.main_thread():
            with _TimeLimit(seconds):
                yield printed
        else:
            yield printed


def run(function, arguments, keywords):
    """Return what learners' code returns. Whatever this function calls may be stopped again and again."""
    return function(*arguments, **keywords)


@contextlib.contextmanager
def _usual_settings():
    """Compute as everywhere else, whatever was set in this kernel, and put its settings back.

    On one processor: while a class keeps them busy, sharing small products takes a hundred times as long.
    """
    num_threads, dtype, grad = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    elsewhere = torch.get_default_device().type != "cpu"
    try:
        with torch.device("cpu") if elsewhere else contextlib.nullcontext():
            yield
    finally:
        torch.set_num_threads(num_threads)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)


class _Signal(int):
    """A signal's number. To read `.pending` raises the signal, without a call: its handler runs a moment later."""

    pending = property(_thread.interrupt_main)


class _TimeLimit:
    """Stop the body with OutOfBounds after `seconds`, and with KeyboardInterrupt when the learner presses Stop.

    Code that catches that (`except BaseException` in a loop) is interrupted without a pause from then on: Python looks
    for signals at each call and at the end of each round of a loop, and at half of these places, by chance, an error
    is raised anew. So it is soon raised where nothing catches it. Garbage is collected afterwards: what cleans up
    behind others' objects is not to be interrupted.
    """

    def __init__(self, seconds):
        self.seconds = seconds
        self.over, self.late = threading.Event(), threading.Event()
        self.was_raised = self.again = False
        self.signal = _Signal(signal.SIGINT)
        self.chance = random.Random(0)
        self.collects = gc.isenabled()

    def __enter__(self):
        self.before = signal.signal(signal.SIGINT, self._on_interrupt)
        self.watch = threading.Thread(target=self._interrupt_when_late, daemon=True)
        self.watch.start()

    def __exit__(self, *error):
        self.over.set()
        self.watch.join()
        signal.signal(signal.SIGINT, self.before)
        if self.collects:
            gc.enable()

    def _interrupt_when_late(self):
        pause = self.seconds
        while not self.over.wait(pause):
            self.late.set()
            _interrupt_main_thread()
            pause = 0.1  # again and again: the code may have caught the first one

    def _on_interrupt(self, signal_number, frame):
        in_learners_code = _is_called_by(frame, run)
        again, self.again = self.again, False
        if self.over.is_set() or _is_called_by(frame, _TimeLimit.__exit__):  # arrived while the body was ending
            return
        if again and not in_learners_code:  # the error has come through, this is the last of the signals
            return
        if self.late.is_set():
            error = OutOfBounds(
                f"it ran for more than {self.seconds} seconds and was stopped: is there a loop that never ends?"
            )
        else:  # the learner pressed Stop
            error = KeyboardInterrupt()
        gc.disable()
        raises = not self.was_raised or self.chance.random() < 0.5
        if self.was_raised and in_learners_code:
            self.again = True
            # Nothing may be called from here on: the signal's handler, this one, would run before the error is raised.
            _ = self.signal.pending
        self.was_raised = True
        if raises:
            raise error


def _is_called_by(frame, function):
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame is not None


def _interrupt_main_thread():
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # ends a sleep, too
    else:
        _thread.interrupt_main()  # Windows
