"""Renders a Comparison: plain text for the terminal, Markdown for people."""

from xframe.report.markdown import markdown
from xframe.report.text import text

__all__ = ["markdown", "text"]
