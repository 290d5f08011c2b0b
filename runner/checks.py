"""`python run.py test`: every check from nothing, each in its own process, with a table at the end."""

from __future__ import annotations

import os
import shutil
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from . import chromium, comfyui, frontend, processes
from .environment import Environment
from .say import Problem, say
from .session import Setting, own_setup

NAMES = ("lint", "types", "imports", "js", "unit", "golden", "nodes", "e2e", "install", "browser", "newest")
# What answers within seconds comes first, then the longest, so that both halves end at about the same time.
ORDER = ("lint", "imports", "types", "js", "unit", "browser", "nodes", "e2e", "newest", "install", "golden")
AT_ONCE = 2  # each on half of the processor, which small models hardly notice
UNIT = ("tests/core", "tests/runner", "tests/repository", "tests/miniature")
IN_THE_BROWSER = "tests/e2e/test_browser*.py"
# What differs most between front ends; the rest is run there by hand: with ECHOGEN_FRONTEND.
ON_THE_NEWEST = "on_newest and nodes2"
SHOWN_IN_CHROMIUM = ("browser", "newest")


Result = TypeVar("Result")


@dataclass
class Outcome:
    """One check: whether it passed, its seconds, and a word on it."""

    name: str
    passed: bool
    seconds: float
    note: str = ""


@dataclass
class Counts:
    """Tests of all pytest processes together."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Counts) -> None:
        """Adds the counts of another report."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


@dataclass
class Checks:
    """The checks of one run, bound to the environment and the ComfyUI they use.

    counts and note are filled by the checks; log: a file for what the commands print; echo: it is shown as it
    comes; threads: of each command (None: as many as it likes); stop: once set, the commands are stopped;
    browser_program: the Chromium of the checks that need one; newest_frontend: for `newest`; own_frontend:
    shown by the servers of e2e and browser (None: ComfyUI's own).
    """

    setting: Setting
    venv: Environment
    comfy: comfyui.ComfyUI
    results: Path
    counts: Counts = field(default_factory=Counts)
    note: str = ""
    log: Path = Path("checks.log")
    echo: bool = True
    threads: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    browser_program: Future[Path | None] = field(default_factory=Future)
    newest_frontend: Future[Path] = field(default_factory=Future)
    own_frontend: Path | None = None

    def call(self, command: Sequence[str | Path], environ: dict[str, str] | None = None) -> int:
        """Runs a command in the pack's folder; the exit status."""
        words = [str(word) for word in command]
        # An installed pack's own settings must not leak in: PYTHONPATH is set by the checks that need it.
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if self.threads:
            clean.setdefault("OMP_NUM_THREADS", str(self.threads))
        environ = {**clean, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **(environ or {})}
        try:
            return processes.run(words, self.setting.pack, environ, self.log, echo=self.echo, stop=self.stop)
        except (processes.OutputTimeout, processes.Stopped) as reason:
            self.note = str(reason)
            return 1

    def pytest(self, name: str, targets: Sequence[str], environ: dict[str, str] | None = None) -> bool:
        """One pytest process. Its console script: `python -m` would put the root first on sys.path."""
        report = self.results / f"{name}.xml"
        report.unlink(missing_ok=True)
        code = self.call([self.venv.script("pytest"), *targets, f"--junitxml={report}", "-q"], environ)
        if report.exists():
            self.note = ", ".join(filter(None, (add_counts(self.counts, report), self.note)))
        if code == 5:
            self.note = "no test found"
        return code == 0

    def lint(self) -> bool:
        """Whether ruff finds nothing."""
        return self.call([self.venv.script("ruff"), "check", "."]) == 0

    def types(self) -> bool:
        """Whether mypy finds nothing."""
        return self.call([self.venv.script("mypy")]) == 0

    def imports(self) -> bool:
        """Whether the import rules hold."""
        return (
            self.call(
                [self.venv.script("lint-imports"), "--no-cache", "--no-logo"],
                {"PYTHONPATH": str(self.setting.pack)},
            )
            == 0
        )

    def js(self) -> bool:
        """Whether the JavaScript's tests pass."""
        if not any((self.setting.pack / "web").rglob("*.js")):
            self.note = "the pack has no JavaScript"
            return True
        node = shutil.which("node") or playwrights_node(self.venv)
        tests = sorted((self.setting.pack / "tests" / "js").glob("*.test.*js"))
        if not node or not tests:
            self.note = "no test found" if node else "no node found"
            return False
        return self.call([node, "--test", *tests]) == 0

    def unit(self) -> bool:
        """Whether the tests that need no ComfyUI pass."""
        return self.pytest("unit", [*UNIT, "--ignore-glob=*_golden.py"])

    def golden(self) -> bool:
        """Whether the numbers are still the official ones."""
        return self.pytest("golden", [str(path) for path in sorted(self.core_tests().rglob("*_golden.py"))])

    def core_tests(self) -> Path:
        """The folder of the core's tests."""
        return self.setting.pack / "tests" / "core"

    def nodes(self) -> bool:
        """Whether the tests of the nodes pass, in the chosen ComfyUI."""
        environ = {"PYTHONPATH": str(self.comfy.path), comfyui.VARIABLE_FOR_TESTS: str(self.comfy.path)}
        return self.pytest("nodes", ["tests/nodes"], environ)

    def server_environ(self, name: str) -> dict[str, str]:
        """What tests/e2e reads: where ComfyUI and the front end are, and where screenshots and logs go."""
        results = self.results / name
        results.mkdir(parents=True, exist_ok=True)
        environ = {comfyui.VARIABLE_FOR_TESTS: str(self.comfy.path), "ECHOGEN_RESULTS": str(results)}
        return {**environ, **({frontend.VARIABLE: str(self.own_frontend)} if self.own_frontend else {})}

    def e2e(self) -> bool:
        """Whether the tests against a running ComfyUI pass."""
        targets = ["tests/e2e", f"--ignore-glob={IN_THE_BROWSER}"]
        return self.pytest("e2e", targets, self.server_environ("e2e"))

    def install(self) -> bool:
        """The registry's archive, its own checks, and what pip adds."""
        return self.pytest("install", ["tests/packaging"], self.server_environ("install"))

    def browser(self) -> bool:
        """Whether the tests in a browser pass, but for what `newest` runs."""
        return self.in_the_browser("browser", f"not ({ON_THE_NEWEST})")

    def newest(self) -> bool:
        """What differs most, in the renderer of the newest front end; more would take too many minutes."""
        extra = {frontend.VARIABLE: str(self.newest_frontend.result())}
        return self.in_the_browser("newest", ON_THE_NEWEST, extra)

    def in_the_browser(self, name: str, chosen: str, extra: dict[str, str] | None = None) -> bool:
        """The browser tests that pytest's -k chooses by `chosen`, with the variables of `extra`."""
        program = self.browser_program.result()
        if program is None:
            self.note = "no Chromium to be had"
            return False
        extra = {**(extra or {}), chromium.VARIABLE: str(program)}
        targets = sorted(str(path) for path in self.setting.pack.glob(IN_THE_BROWSER))
        return self.pytest(name, [*targets, "-k", chosen], {**self.server_environ(name), **extra})


def playwrights_node(venv: Environment) -> str | None:
    """The node that playwright's package carries, for machines without one."""
    programs = [*venv.home.glob("lib/python*/site-packages/playwright/driver/node")]
    programs += venv.home.glob("Lib/site-packages/playwright/driver/node.exe")
    return str(programs[0]) if programs else None


def add_counts(counts: Counts, report: Path) -> str:
    """Adds a pytest report's numbers to `counts`; returns them in words."""
    passed = failed = skipped = 0
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        total, bad, skips = (
            int(suite.get("tests", 0)),
            int(suite.get("failures", 0)) + int(suite.get("errors", 0)),
            int(suite.get("skipped", 0)),
        )
        passed, failed, skipped = passed + total - bad - skips, failed + bad, skipped + skips
    counts.passed += passed
    counts.failed += failed
    counts.skipped += skipped
    return (
        f"{passed} passed"
        + (f", {failed} failed" if failed else "")
        + (f", {skipped} skipped" if skipped else "")
    )


def chosen(only: str | None) -> list[str]:
    """The checks that --only names, in their usual order; all of them without it."""
    if not only:
        return list(NAMES)
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in NAMES]
    if unknown or not wanted:
        raise Problem(f"--only got {', '.join(unknown) or 'nothing'}; choose from {', '.join(NAMES)}.")
    return [name for name in NAMES if name in wanted]


def run(setting: Setting, found: comfyui.ComfyUI | None, only: str | None) -> bool:
    """Runs the chosen checks; True when all of them passed."""
    names = chosen(only)
    own_frontend = frontend.given(os.environ)
    begin = time.monotonic()
    ready = own_setup(setting, found, extra_steps=True)
    results = setting.comfy / "results"
    results.mkdir(parents=True, exist_ok=True)
    checks = Checks(setting, Environment(setting.venv), ready.comfy, results, own_frontend=own_frontend)
    core = f"ComfyUI {comfyui.version(ready.comfy.path)} ({ready.comfy.found_by})"
    say(f"Testing with {core}: {ready.comfy.path}\nFront end: {own_frontend or 'its own'}")
    outcomes = [Outcome("set up", True, time.monotonic() - begin, core), *side_by_side(checks, names)]
    show(outcomes, checks.counts, time.monotonic() - begin, results)
    return all(outcome.passed for outcome in outcomes)


def timed(checks: Checks, name: str) -> Outcome:
    """One check, measured. What it lacks (Problem) fails this check alone."""
    begin, checks.note = time.monotonic(), ""
    check: Callable[[], bool] = getattr(checks, name)
    try:
        passed = not checks.stop.is_set() and check()
    except Problem as problem:
        say(f"\n{problem}")
        passed, checks.note = False, str(problem).partition("\n")[0]
    return Outcome(name, passed, time.monotonic() - begin, checks.note)


def side_by_side(checks: Checks, names: Sequence[str]) -> list[Outcome]:
    """Checks two at a time, in the order of `names` in the end; what each prints is shown when it is done.

    A single one has the whole processor, and what it prints is shown as it comes. When this is interrupted,
    the running checks are stopped.
    """
    alone = len(names) == 1
    threads = None if alone else max(1, (os.cpu_count() or 1) // AT_ONCE)
    running: dict[Future[Outcome], Checks] = {}
    say(f"\n===== {', '.join(names)}{'' if alone else f': {AT_ONCE} at a time'} =====")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for name in sorted(names, key=ORDER.index):
                log = checks.results / f"{name}.log"
                log.write_bytes(b"")
                own = replace(checks, counts=Counts(), threads=threads, log=log, echo=alone)
                running[pool.submit(timed, own, name)] = own
            fetch_browsers(checks, names)
            for done in as_completed(running):
                report(done.result(), running[done])
                checks.counts.add(running[done].counts)
        except BaseException:
            checks.stop.set()
            checks.browser_program.cancel()  # unless it is there: nobody would install it now
            checks.newest_frontend.cancel()
            pool.shutdown(cancel_futures=True)
            raise
    return sorted((done.result() for done in running), key=lambda outcome: names.index(outcome.name))


def report(outcome: Outcome, checks: Checks) -> None:
    """Shows what a check has printed, unless it was shown as it came."""
    if not checks.echo:
        text = checks.log.read_text(encoding="utf-8", errors="replace")
        say(f"\n===== {outcome.name} =====\n{text}")


def fetch_browsers(checks: Checks, names: Sequence[str]) -> None:
    """Chromium and the newest front end, where `names` need them, while the first checks run."""
    if any(name in SHOWN_IN_CHROMIUM for name in names):
        fill(checks.browser_program, lambda: _chromium(checks))
    if "newest" in names:
        fill(checks.newest_frontend, lambda: frontend.install(checks.setting.comfy, checks.venv))


def fill(future: Future[Result], work: Callable[[], Result]) -> None:
    """Hands what `work` returns or raises to those who wait for `future`; raises it too unless a Problem."""
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Problem):
            raise


def _chromium(checks: Checks) -> Path | None:
    """The program, or None where there is none and none can be installed."""
    tried = checks.results / "chromium.log"
    program = chromium.install(checks.venv, tried)
    if program is None:
        say(f"{chromium.NOT_AVAILABLE}\nWhat was tried: {tried}")
    return program


def show(outcomes: Sequence[Outcome], counts: Counts, seconds: float, results: Path) -> None:
    """The table, and one line of numbers over all tests and checks."""
    say(f"\n{'check':<10}{'result':<10}{'seconds':>9}  ")
    for outcome in outcomes:
        result = "passed" if outcome.passed else "FAILED"
        say(f"{outcome.name:<10}{result:<10}{outcome.seconds:>9.1f}  {outcome.note}")
    say(f"{'all':<20}{seconds:>9.1f}")
    say(f"Reports and screenshots: {results}\n")
    without_pytest = [
        outcome for outcome in outcomes[1:] if outcome.name in ("lint", "types", "imports", "js")
    ]
    bad = counts.failed + sum(not outcome.passed for outcome in without_pytest)
    # A pytest process that died before its report has no counts of its own.
    bad += sum(not outcome.passed for outcome in outcomes[1:]) if not bad else 0
    good = counts.passed + sum(outcome.passed for outcome in without_pytest)
    say(f"{good} passed, {bad} failed, {counts.skipped} skipped")
