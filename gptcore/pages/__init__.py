"""Explorers that live in a web page without a kernel: live.js and its files. `widget.py` shows them in notebooks."""

from gptcore.pages.live import EXPLORERS, live_file, place, write_live

__all__ = ["EXPLORERS", "live_file", "place", "write_live"]
