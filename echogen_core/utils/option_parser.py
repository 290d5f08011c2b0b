"""The parser of all command lines: one-line errors, and help that shows every default."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import Any, NoReturn


class OptionParser(argparse.ArgumentParser):
    """An ArgumentParser whose description may be the docstring of a module.

    The line breaks of the description are kept; its last paragraph is left out where it explains the suffixes
    of tensors' names ("Shapes: ..."). The same goes for the parsers of sub-commands.
    """

    def __init__(self, *, description: str | None = None, **settings: Any) -> None:
        about = re.split(r"^Shapes?\b", description or "", maxsplit=1, flags=re.MULTILINE)[0].strip()
        super().__init__(description=about, formatter_class=_HelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit status 2 and one line, without the usage."""
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}\n")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Adds the default of an option to its help, unless the help has words for it."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        if default is None or default is False or default in ("", [], argparse.SUPPRESS) or "default" in text:
            return text
        if isinstance(default, list):
            return f"{text} (default: {shlex.join(map(str, default)).replace('%', '%%')})"
        return f"{text} (default: %(default)s)"
