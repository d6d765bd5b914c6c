# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether the plugin changes the outcome of any test of DP-GEN's and dpdata's own test suites.

Usage::

    git clone --depth 1 --branch v0.14.0 https://github.com/deepmodeling/dpgen
    git clone --depth 1 --branch v1.1.0 https://github.com/deepmodeling/dpdata
    python tests/upstream/compare.py dpgen dpdata

The clones, or unpacked archives, give only the tests, which the packages on PyPI lack. What is tested are the dpgen
and the dpdata that are installed; take the tags of those. Each suite runs as upstream runs it, by unittest, once in
each of three modes, one after the other, each on a fresh copy of the tests:

without
    The plugin's entry points are hidden, also from the commands that tests start.
with
    The plugin is found as after ``pip install``.
wrapped
    As before; and DP-GEN's stages have been wrapped before the first test, as they are in ``dpgen run``.

A test that fails in all modes alike is no difference; to have fewer of these, install what they want: dpgui,
openbabel, parmed and rdkit. Messages of failures may differ, their types may not. The exit status is 1 if an outcome
differs, or if a test process has no tests or does not get to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

PACKAGE = "ipip_dp"
MODES = ("without", "with", "wrapped")
PROCESS = "the test process"  # has an outcome, too
# The folders to copy of each repository, which leave out the package itself, and the one that upstream tests in.
SUITES = {"dpgen": (("tests", "examples"), "."), "dpdata": (("tests",), "tests")}
# An entry point that dpdata's tests want, of a package in their folder "plugin".
TEST_PLUGIN = {
    "METADATA": "Metadata-Version: 2.1\nName: dpdata_plugin_test\nVersion: 0\n",
    "entry_points.txt": "[dpdata.plugins]\nrandom = dpdata_plugin_test:ep\n",
}
# What every Python runs first. To hide cp2kdata, too, is for dpdata's tests: it replaces some of dpdata's formats.
SITECUSTOMIZE = """
from importlib.metadata import Distribution, EntryPoints
all_of = Distribution.entry_points.fget
Distribution.entry_points = property(
    lambda self: EntryPoints(e for e in all_of(self) if not e.value.startswith({hidden}))
)
"""
# One core is enough, and other hash seeds would order sets differently.
ENVIRONMENT = {
    "DP_INTER_OP_PARALLELISM_THREADS": "1",
    "DP_INTRA_OP_PARALLELISM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}

Outcome = tuple[str, str]  # what became of a test, and of a failure its type and message
Outcomes = dict[str, list[Outcome]]  # by the test's id; several of it if subtests, or also its tearDown, fail


class Recorder(unittest.TextTestResult):
    """Writes every outcome down as it comes, so that those before a crash are known."""

    file: TextIO

    def startTest(self, test: Any) -> None:
        import numpy as np

        random.seed(0)
        np.random.seed(0)
        super().startTest(test)

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._note(test, "passed")

    def addFailure(self, test: Any, err: Any) -> None:
        super().addFailure(test, err)
        self._note(test, "failed", err)

    def addError(self, test: Any, err: Any) -> None:
        super().addError(test, err)
        self._note(test, "error", err)

    def addSkip(self, test: Any, reason: str) -> None:
        super().addSkip(test, reason)
        self._note(test, "skipped")

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self._note(test, "expected failure")

    def addUnexpectedSuccess(self, test: Any) -> None:
        super().addUnexpectedSuccess(test)
        self._note(test, "unexpected success")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed", err, subtest.id().removeprefix(test.id()).strip() + " ")

    def _note(self, test: Any, outcome: str, err: Any = None, message: str = "") -> None:
        if err is not None:
            outcome += f": {err[0].__name__}"
            message += " ".join(str(err[1]).split())
        print(json.dumps([test.id(), outcome, message]), file=self.file, flush=True)


def run_here(mode: str, record: Path) -> None:
    """Run the tests in and below the current folder, in this process.

    Parameters
    ----------
    mode : str
        One of ``MODES``.
    record : Path
        Where to write the outcomes, one JSON list a line.
    """
    sys.path[0] = os.getcwd()  # as python -m unittest has it
    import dpdata  # noqa: F401  # which loads the plugin

    loaded = any(name.partition(".")[0] == PACKAGE for name in sys.modules)
    if loaded != (mode != "without"):
        sys.exit(f"the plugin has {'' if loaded else 'not '}been loaded in the mode {mode!r}")
    if mode == "wrapped":
        wrap()
    tests = unittest.defaultTestLoader.discover(".")
    if not tests.countTestCases():
        sys.exit("no tests")
    with record.open("w") as Recorder.file:
        unittest.TextTestRunner(verbosity=2, resultclass=Recorder).run(tests)


def wrap() -> None:
    """Make the plugin wrap DP-GEN's stages."""
    import dpgen.generator.run as run
    from dpgen.generator.arginfo import run_jdata_arginfo

    before = dict(vars(run))
    run_jdata_arginfo()
    wrapped = [name for name, value in vars(run).items() if callable(value) and value is not before.get(name)]
    print("wrapped in dpgen.generator.run:", *wrapped, flush=True)
    if not {"make_train", "run_train", "post_train"} <= set(wrapped):
        sys.exit("run_jdata_arginfo() has not wrapped the stages of dpgen.generator.run")


def run_suite(suite: str, source: Path, mode: str, work: Path, timeout: float) -> Outcomes:
    """Run a suite in a process of its own.

    Parameters
    ----------
    suite : str
        Name of the package, a key of ``SUITES``.
    source : Path
        Its repository, with the tests.
    mode : str
        One of ``MODES``.
    work : Path
        Folder for the copy of the tests, the log and the outcomes.
    timeout : float
        Seconds after which the process is killed.

    Returns
    -------
    Outcomes
        Those of all tests that ran, and of the process itself.
    """
    folders, start = SUITES[suite]
    copy, record, log = work / suite, work / f"{suite}.{mode}.jsonl", work / f"{suite}.{mode}.log"
    for folder in folders:
        shutil.copytree(source / folder, copy / folder, symlinks=True)
    command = [sys.executable, os.path.abspath(__file__), "--here", mode, str(record)]
    began = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=copy / start,
            env=environment(suite, mode, copy, work / "site"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout)
            end = f"failed: exit status {status}" if status else "passed"
        except subprocess.TimeoutExpired:
            end = f"failed: killed after {timeout:g} s"
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # and what its tests may have left running
            except ProcessLookupError:
                pass
            process.wait()
    outcomes: Outcomes = {}
    for line in record.read_text().splitlines() if record.exists() else []:
        name, outcome, message = json.loads(line)
        outcomes.setdefault(name, []).append((outcome, message))
    seconds = time.monotonic() - began
    counts = Counter(outcome.partition(":")[0] for results in outcomes.values() for outcome, _ in results)
    print(f"{suite:7} {mode:8} {seconds:5.0f} s  " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    if end != "passed":
        print(*[f"    {line}" for line in log.read_text(errors="replace").splitlines()[-5:]], sep="\n")
    outcomes[PROCESS] = [(end, "")]
    sys.stdout.flush()
    shutil.rmtree(copy)
    shutil.rmtree(work / "site")
    return outcomes


def environment(suite: str, mode: str, copy: Path, site: Path) -> dict[str, str]:
    """Variables that a test process and those it starts need; ``site`` becomes the first folder on their path."""
    site.mkdir()
    hidden = ("cp2kdata",) * (suite == "dpdata") + (PACKAGE,) * (mode == "without")
    (site / "sitecustomize.py").write_text(SITECUSTOMIZE.format(hidden=hidden))
    path = [str(site), *(os.path.abspath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)]
    if suite == "dpdata":
        path.append(str(copy / "tests" / "plugin"))
        about = site / "dpdata_plugin_test-0.dist-info"
        about.mkdir()
        for name, text in TEST_PLUGIN.items():
            (about / name).write_text(text)
    return {
        **os.environ,
        **ENVIRONMENT,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # tests start "dpgen"
        "PYTHONPATH": os.pathsep.join(path),
    }


def compare(by_mode: dict[str, Outcomes]) -> tuple[dict[str, dict[str, list[Outcome]]], int]:
    """The outcomes, by mode, of each test that has not the same in all (messages may differ); how many fail in all."""
    differ, alike = {}, 0
    for name in sorted({name for outcomes in by_mode.values() for name in outcomes}):
        results = {mode: outcomes.get(name, [("not run", "")]) for mode, outcomes in by_mode.items()}
        different = {tuple(outcome for outcome, _ in result) for result in results.values()}
        if len(different) > 1:
            differ[name] = results
        elif any(outcome.startswith(("failed", "error")) for outcome in different.pop()):
            alike += 1
    return differ, alike


def main() -> int:
    """Run all, and print what differs."""
    if sys.argv[1:2] == ["--here"]:
        run_here(sys.argv[2], Path(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for suite in SUITES:
        parser.add_argument(suite, type=Path, metavar=f"{suite.upper()}_SOURCE", help=f"repository of {suite}")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs and the outcomes in a new folder")
    parser.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="of one run of one suite")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if arguments.keep:
            arguments.keep.mkdir(parents=True)
            work = arguments.keep.resolve()
        failed = False
        for suite in SUITES:
            source = getattr(arguments, suite).resolve()
            print(f"{suite} {version(suite)}, tests of {source}")
            by_mode = {mode: run_suite(suite, source, mode, work, arguments.timeout) for mode in MODES}
            differ, alike = compare(by_mode)
            for name, results in differ.items():
                print(f"\n{name}")
                for mode, result in results.items():
                    for outcome, message in result:
                        print(f"    {mode:8} {outcome} {message}"[:240].rstrip())
            complete = all(outcomes[PROCESS] == [("passed", "")] for outcomes in by_mode.values())
            failed = failed or bool(differ) or not complete
            print(f"\n{suite}: {len(differ)} differ, {alike} fail in all modes{'' if complete else '; NOT ALL RAN'}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
