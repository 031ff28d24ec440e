"""G-code analysis: what a program makes, of how much material, in what time, and what it looks like.

``analyze(path_or_stream)`` is the public function; ``worker.analyze_file`` runs it in a process of its own with limits.
"""

from .analyzer import Limits, analyze
from .errors import GcodeError

__all__ = ["GcodeError", "Limits", "analyze"]
