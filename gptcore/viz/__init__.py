"""What the notebooks draw with: figures, diagrams and source listings. Nothing in gptcore's core needs it."""

from gptcore.viz.source import show_source
from gptcore.viz.style import figure

__all__ = ["figure", "show_source"]
