"""Sub-commands of `python -m echogen_core`, a module each.

Each has `add_parser(subparsers) -> ArgumentParser` and `run(args) -> int`, the exit status. A ValueError or
OSError of `run` is for the user: the dispatcher (`__main__.py`, where new modules are listed) prints it.
"""
