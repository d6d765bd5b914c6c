# SPDX-License-Identifier: LGPL-3.0-or-later
"""Run a labeler on many frames, in one process or several, so that one bad frame costs only itself."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.errors import IpipError
from ipip_dp.labelers.base import LabelerError
from ipip_dp.labelers.frames import unknown_elements
from ipip_dp.labelers.registry import make_labeler
from ipip_dp.text import reason

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import dpdata

    from ipip_dp.labelers.base import Labeler

LABELS = ("energies", "forces", "virials")


@dataclass(frozen=True)
class Task:
    """Frames of one group for one call of the labeler."""

    group: int
    frames: np.ndarray
    system: dpdata.System


@dataclass(frozen=True)
class Outcome:
    """Labels of the frames that succeeded, reasons of those that failed, by frame number."""

    group: int
    labels: dict[int, dict[str, np.ndarray]]
    reasons: dict[int, str]


def run_tasks(
    tasks: Sequence[Task], config: dict[str, Any], type_map: Sequence[str], workers: int
) -> Generator[Outcome, None, None]:
    """Label tasks, in this process or in several others, and yield outcomes as they come.

    Parameters
    ----------
    tasks : sequence of Task
        What to label.
    config : dict
        Labeler section.
    type_map : sequence of str
        Elements of the run.
    workers : int
        Number of processes; 1 works in this one. Each makes its labeler once.

    Yields
    ------
    Outcome
        One per task, in the order they finish.

    Raises
    ------
    IpipError
        If the labeler cannot be set up, or a process dies.
    """
    if not tasks:
        return
    if workers == 1:
        labeler = make_labeler(config, list(type_map))
        for task in tasks:
            yield label_task(labeler, task)
        return
    # fork would copy the threads of TensorFlow and torch in an unusable state
    context = multiprocessing.get_context("spawn")
    settings = (json.dumps(config), tuple(type_map))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as executor:
        try:
            for future in as_completed([executor.submit(_label_in_worker, *settings, task) for task in tasks]):
                yield future.result()
        except BrokenProcessPool as error:
            raise IpipError(
                "a labelling process died: out of memory, or a crash inside the labeler. "
                "Finished frames are kept: run again, with fewer workers if memory is short"
            ) from error
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """Let a worker process end when its parent is killed; by default it would wait for ever."""
    parent = multiprocessing.parent_process()

    def wait_for_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_for_parent, daemon=True).start()


def _label_in_worker(config: str, type_map: tuple[str, ...], task: Task) -> Outcome:
    return label_task(_worker_labeler(config, type_map), task)


@lru_cache(maxsize=1)
def _worker_labeler(config: str, type_map: tuple[str, ...]) -> Labeler:
    """Make the labeler once per worker process."""
    return make_labeler(json.loads(config), list(type_map))


def label_task(labeler: Labeler, task: Task) -> Outcome:
    """Label the frames of a task; those that fail take no other down."""
    outcome = Outcome(task.group, {}, {})
    unknown = unknown_elements(task.system.data, labeler.elements)
    if unknown:
        reason = f"the labeler does not know {' '.join(unknown)}"
        outcome.reasons.update(dict.fromkeys(task.frames.tolist(), reason))
    else:
        _label_or_halve(labeler, task.system, task.frames, outcome)
    return outcome


def _label_or_halve(labeler: Labeler, system: dpdata.System, frames: np.ndarray, outcome: Outcome) -> None:
    """Label a system in one call; if that fails, each half, down to the frames that fail."""
    try:
        labeled = labeler.label(system.data)
    except LabelerError:
        raise
    except Exception as error:  # whatever a calculator raises: this frame is lost, not the job
        if len(frames) == 1:
            outcome.reasons[int(frames[0])] = reason(error)
            return
        for half in np.array_split(np.arange(len(frames)), 2):
            _label_or_halve(labeler, system[half], frames[half], outcome)
    else:
        names = [name for name in LABELS if name in labeled]
        for row, frame in enumerate(frames.tolist()):
            outcome.labels[frame] = {name: labeled[name][row] for name in names}
