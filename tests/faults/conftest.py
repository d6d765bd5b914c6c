# SPDX-License-Identifier: LGPL-3.0-or-later
"""The table of faults: one row for every test marked ``@pytest.mark.fault(what, wanted)``.

``pytest tests/faults --fault-table docs/faults.md`` writes it. A test that measures what was lost or
done twice says so with ``record_property("frames lost", 0)`` and ``record_property("jobs repeated", 0)``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

MEASURED = ("frames lost", "jobs repeated")
HEAD = """# Faults, and what comes of them

What happens to small but complete runs of `dpgen run` (two students, two iterations, real trainings, LAMMPS and
reference calculations) and to their parts, and what was seen when `make faults` last wrote this table: {passed} of
{total} tests as wanted, {missing} not run. A finished job counts as repeated if its command runs again; an empty
column was not measured.

| fault | wanted | seen | {measured} |
|---|---|---|{lines}|
"""
# Row of the table -> outcome of each of its tests; and what they measured.
_seen: dict[tuple[str, str], dict[str, str]] = {}
_measured: dict[tuple[str, str], dict[str, int]] = {}
_collected: set[str] = set()
_run: set[str] = set()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", type=Path, help="write the outcomes of the faults to this file")


def pytest_itemcollected(item: pytest.Item) -> None:
    marker = item.get_closest_marker("fault")
    if marker is not None:
        what, wanted = marker.args
        item.user_properties.append(("fault", (what, wanted)))


def pytest_collection_finish(session: pytest.Session) -> None:
    _collected.update(item.nodeid for item in session.items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: object, ids: Sequence[str]) -> None:
    _collected.update(ids)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _run.add(report.nodeid)
    properties = dict(report.user_properties)
    if "fault" not in properties or (report.when != "call" and report.passed):
        return
    row = tuple(properties["fault"])
    _seen.setdefault(row, {})[report.nodeid] = report.outcome
    for name, number in report.user_properties:
        if name in MEASURED:
            sums = _measured.setdefault(row, {})
            sums[name] = sums.get(name, 0) + number


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("fault_table", default=None)
    is_worker = hasattr(session.config, "workerinput")  # of pytest-xdist, which knows a part of them
    if path is None or not _seen or is_worker:
        return
    outcomes = [outcome for tests in _seen.values() for outcome in tests.values()]
    text = HEAD.format(
        passed=outcomes.count("passed"),
        total=len(outcomes),
        missing=len(_collected - _run),
        measured=" | ".join(MEASURED),
        lines="|".join("---" for _ in MEASURED),
    )
    for row, tests in _seen.items():
        measured = [str(_measured.get(row, {}).get(name, "")) for name in MEASURED]
        text += f"| {' | '.join([*row, _summary(list(tests.values())), *measured])} |\n"
    path.write_text(text)


def _summary(outcomes: list[str]) -> str:
    if set(outcomes) == {"passed"}:
        return "as wanted" if len(outcomes) == 1 else f"as wanted, {len(outcomes)} of {len(outcomes)}"
    if set(outcomes) == {"skipped"}:
        return "not tried on this machine"
    return f"**{outcomes.count('failed')} of {len(outcomes)} otherwise**"
