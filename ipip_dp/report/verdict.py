# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a run has come to: the error now, whether it still falls, what to do next and which model to use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipip_dp.config.sections import Stop
from ipip_dp.evaluation.stopping import ON_POLICY, without_improvement
from ipip_dp.status import models
from ipip_dp.steps.stop import OUT_OF_JOBS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipip_dp.evaluation.stopping import Figure
    from ipip_dp.report.run import Run
    from ipip_dp.status.models import Best

HOLDS = 0.9  # share of MD runs that hold, below which long MD is not to be trusted
COMMAND = "dpgen run param.json machine.json"


@dataclass(frozen=True)
class Verdict:
    """The answer to a user's first question, in words.

    Parameters
    ----------
    headline : str
        The error now, against the teacher's.
    figures : list of (str, str, str)
        The most important numbers: what of, the number, what to compare it with.
    trend : str
        Whether the error still falls, by more than its noise.
    advice : list of str
        What to do next.
    model : Best or None
        What to use; None where frozen models or the parameters of the run are missing.
    """

    headline: str
    figures: list[tuple[str, str, str]]
    trend: str
    advice: list[str]
    model: Best | None


def collect(run: Run) -> Verdict:
    """Put together what is known.

    Raises
    ------
    IpipError
        If nothing has been evaluated.
    """
    index = run.best.index
    errors = run.metrics[index]
    figure = run.figures[sorted(run.metrics).index(index)].held_out
    teacher = errors["teacher"]["force_rmse"]
    headline = (
        f"The students of iteration {index} are at {_plus_minus(figure)} eV/Å on held-out frames, "
        f"{relative(figure.value, teacher)} the teacher's {teacher:.3f}."
    )
    model = models.best(run.jdata) if run.jdata else None
    return Verdict(headline, [*_figures(run, index, figure)], trend(run), [*_advice(run, index)], model)


def relative(value: float, teacher: float) -> str:
    """How an error compares with the teacher's."""
    change = value / teacher - 1
    return f"{abs(change):.0%} {'below' if change < 0 else 'above'}"


def _plus_minus(figure: Figure) -> str:
    """A figure with its noise, to two digits of that where three decimals show fewer."""
    decimals = 3 if not 0 < figure.noise < 0.01 else min(1 - math.floor(math.log10(figure.noise)), 5)
    return f"{figure.value:.{decimals}f} ± {figure.noise:.{decimals}f}"


def _figures(run: Run, index: int, held_out: Figure) -> Iterator[tuple[str, str, str]]:
    errors = run.metrics[index]
    teacher = errors["teacher"]
    yield "force RMSE, held-out frames", f"{held_out.value:.3f} eV/Å", f"teacher {teacher['force_rmse']:.3f}"
    energy, other = (1000 * each["energy_rmse_per_atom_aligned"] for each in (errors["ensemble"], teacher))
    yield "energy RMSE, held-out frames", f"{energy:.1f} meV/atom", f"teacher {other:.1f}, both aligned by element"
    virial = errors["ensemble"].get("virial_rmse_per_atom")
    if virial is not None:
        other = teacher.get("virial_rmse_per_atom")
        compared = "the teacher has none" if other is None else f"teacher {1000 * other:.1f}"
        yield "virial RMSE, held-out frames", f"{1000 * virial:.1f} meV/atom", compared
    if run.on_policy:
        last = max(run.on_policy)
        own, other = (run.on_policy[last][model]["force_median"] for model in ("ensemble", "teacher"))
        yield f"median force RMSE where MD of iteration {last} went", f"{own:.3f} eV/Å", f"teacher {other:.3f}"
    if run.counts:
        last = max(run.counts)
        counts = run.counts[last]
        yield f"MD runs of iteration {last} that held", f"{counts['held']} of {counts['md']}", _why(counts)


def _why(counts: dict[str, int]) -> str:
    return f"{counts['blown_up']} blew up, {counts['failed']} frames above the upper trust level"


def trend(run: Run) -> str:
    """Whether the latest iteration is better than those before, by more than noise."""
    *earlier, now = run.figures
    index = run.evaluated[-1].index
    if not earlier:
        return "With one evaluated iteration there is no trend yet."
    best = min(earlier, key=lambda other: other.held_out.value)
    words = f"from {_plus_minus(best.held_out)} at best before to {_plus_minus(now.held_out)} eV/Å"
    if now.held_out.better_than(best.held_out):
        text = f"Iteration {index} lowered the held-out error by more than its noise, {words}."
    elif best.held_out.better_than(now.held_out):
        text = f"Iteration {index} raised the held-out error by more than its noise, {words}."
    else:
        text = f"Iteration {index} changed the held-out error by less than its noise, {words}."
    measured = [other.md[ON_POLICY] for other in run.figures if ON_POLICY in other.md]
    if len(measured) > 1:
        words = ", ".join(_plus_minus(figure) for figure in measured[-4:])
        text += f" Where MD went, the median was {words} eV/Å in the latest iterations that measured it."
    return text


def _advice(run: Run, index: int) -> Iterator[str]:
    errors = run.metrics[index]
    if not run.stop:
        yield f"The run has not come to its end: {COMMAND}, typed in its folder, goes on."
    if errors["ensemble"]["force_rmse"] >= errors["teacher"]["force_rmse"]:
        yield (
            "The students are no better than the teacher: train them longer (ipip.pretrain.numb_steps, "
            "default_training_param.training.numb_steps) or make the networks larger before anything else."
        )
    if run.jdata and models.ignores_virials(run.jdata, errors):
        yield (
            "Use these models at constant volume only: they were not trained on virials, so their pressures mean "
            "nothing (default_training_param.loss.start_pref_v and limit_pref_v, as 0.02 and 1)."
        )
    counts = run.counts.get(max(run.counts, default=0), {})
    if counts and counts["held"] < HOLDS * counts["md"]:
        yield (
            f"{counts['md'] - counts['held']} of {counts['md']} MD runs of iteration {max(run.counts)} did not hold: "
            "do not trust long MD with these models yet. Reference labels of explored frames (fp_task_max) help most."
        )
    if counts.get("accurate") and not counts["candidate"]:
        yield (
            f"No frame of MD of iteration {max(run.counts)} lay between the trust levels, {counts['accurate']} below "
            "the lower one, so that the reference has nothing to label: lower model_devi_f_trust_lo (the picture of "
            "model deviations shows where the frames are), or let MD go farther."
        )
    elif not run.on_policy:
        yield (
            "Nobody knows yet how wrong the students are where MD goes, which is more than on held-out frames: let the "
            "reference label explored frames (fp_task_max, or ipip.evaluate.audit_frames, above 0)."
        )
    if run.stop:
        yield _after_the_end(run)


def _after_the_end(run: Run) -> str:
    stop = run.context(run.best).params.stop if run.jdata else Stop()
    since = without_improvement(run.figures, stop.min_improvement)
    if run.stop["reason"] != OUT_OF_JOBS:
        return f"The run ended because {run.stop['reason']}. Use the model, or let MD explore something new."
    if since == 0:
        return f"The last iteration still improved something: add jobs to model_devi_jobs and type {COMMAND} again."
    if since < stop.patience:
        return f"So few iterations do not tell whether more would help: add jobs to model_devi_jobs and type {COMMAND}."
    return (
        "More of the same MD promises little. Use the model, or add jobs to model_devi_jobs that go where you need it: "
        "other temperatures, pressures, structures."
    )
