# SPDX-License-Identifier: LGPL-3.0-or-later
"""The sections of the page: what has been collected, in words, pictures and tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.evaluation import on_policy
from ipip_dp.evaluation.stopping import ON_POLICY
from ipip_dp.report import costs, figures, frames, held_out, levels, settings, verdict
from ipip_dp.report.pictures import Picture, Table, number
from ipip_dp.steps import trust
from ipip_dp.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipip_dp.report.exploration import Explored
    from ipip_dp.report.pictures import Draw
    from ipip_dp.report.run import Run

LISTED = 10  # MD runs that blew up


@dataclass(frozen=True)
class Section:
    """A section of the page; ``missing`` says in a sentence why there is nothing in it."""

    key: str
    title: str
    text: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    code: dict[str, str] = field(default_factory=dict)
    verdict: verdict.Verdict | None = None
    missing: str = ""


def answer(run: Run, draw: Draw) -> dict[str, Any]:
    """The verdict."""
    return {"verdict": verdict.collect(run)}


def learning_curve(run: Run, draw: Draw) -> dict[str, Any]:
    """Errors in every iteration."""
    rows = []
    for iteration, each in zip(run.evaluated, run.figures, strict=True):
        errors = run.metrics[iteration.index]
        students = [student["force_rmse"] for student in errors["students"]]
        there = each.md.get(ON_POLICY)
        rows.append([
            str(iteration.index), str(errors["reference_frames"]), str(errors["pool_frames"]),
            number(errors["teacher"]["force_rmse"]), f"{min(students):.3f} to {max(students):.3f}",
            f"{each.held_out.value:.3f} ± {each.held_out.noise:.3f}",
            number(1000 * errors["ensemble"]["energy_rmse_per_atom_aligned"], 1),
            f"{there.value:.3f} ± {there.noise:.3f}" if there else "–",
        ])  # fmt: skip
    columns = ["iteration", "reference labels", "pool", "teacher", "students", "their mean", "energy (meV/atom)",
               "where MD went"]  # fmt: skip
    table = Table("Force RMSE on held-out frames, and the median on explored ones (eV/Å)", columns, rows)
    ends = [f"{row[5]} eV/Å in iteration {row[0]}" for row in (rows[0], rows[-1])]
    alt = f"Held-out force RMSE of the mean of the students: {', '.join(dict.fromkeys(ends))}; teacher {rows[-1][3]}."
    text = [
        "The noise is the spread of the students over the square root of their number, pooled over iterations. Where "
        "MD went, errors are those of the students that explored, before anything was trained on these frames."
    ]
    return {
        "text": text,
        "pictures": [Picture("learning_curve", draw("learning_curve", figures.learning_curve(run)), alt, table)],
    }


def parity(run: Run, draw: Draw, data: held_out.HeldOut) -> dict[str, Any]:
    """Predictions against labels."""
    drawn = [
        ("forces_by_element", "forces by element", data.elements, "eV/Å", 3, 1.0),
        ("forces_by_system", "forces by system", data.systems, "eV/Å", 3, 1.0),
        ("energies_by_system", "energies by system", data.energies, "meV/atom", 1, 1000.0),
    ]
    pictures = []
    for name, title, clouds, unit, digits, scale in drawn:
        table = _clouds(f"RMSE of {title} ({unit})", clouds, digits, scale)
        own = ", ".join(f"{row[0]} {row[2]} (teacher {row[3]})" for row in table.rows[: figures.PANELS])
        pictures.append(
            Picture(
                name,
                draw(name, figures.parity(clouds, unit, digits, scale)),
                f"Predicted against reference {title}; RMSE in {unit}: {own}.",
                table,
            )
        )
    text = [
        f"Held-out frames, students of iteration {run.best.index}. Energies are aligned by element over all systems, "
        "and counted from the mean of their system. Large sets of points are thinned at random; the errors are of all."
    ]
    return {"text": text, "pictures": pictures}


def _clouds(caption: str, clouds: Mapping[str, held_out.Cloud], digits: int = 3, scale: float = 1.0) -> Table:
    rows = [
        [name, str(cloud.number), *(number(value * scale, digits) for value in cloud.rmse)]
        for name, cloud in clouds.items()
    ]
    return Table(caption, ["", "values", "mean of the students", "teacher"], rows)


def deviation(run: Run, draw: Draw, explored: list[Explored], spread: np.ndarray | None) -> dict[str, Any]:
    """Model deviations, and how well they tell the error."""
    rows = [
        [
            str(each.index),
            str(len(each.deviations)),
            *(number(float(np.percentile(each.deviations, q))) for q in (5, 50, 95)),
            *(number(float(level)) for level in each.levels),
            *(number(each.counts.get(name)) for name in on_policy.CLASSES),
        ]
        for each in explored
    ]
    columns = ["iteration", "frames", "5%", "median", "95%", "lower level", "upper level", *on_policy.CLASSES]
    table = Table("Max. force deviation of frames of MD (eV/Å), and frames by trust class", columns, rows)
    last = rows[-1]
    alt = (
        f"Distributions of the model deviation; in iteration {last[0]} the median is {last[3]} eV/Å, the trust levels "
        f"{last[5]} and {last[6]}."
    )
    pictures = [Picture("model_deviation", draw("model_deviation", figures.deviations(explored)), alt, table)]
    measured = trust.measure(run.context(run.evaluated[-1]), run.iterations)
    if not measured.rows:
        text = [
            "No explored frame has a reference label yet, so nobody knows how deviation and true error are related."
        ]
        return {"text": text, "pictures": pictures}
    present = explored[-1].levels
    picture, text = levels.picture(measured, present, draw, spread)
    return {"text": text, "pictures": [*pictures, picture]}


def provenance(run: Run, draw: Draw) -> dict[str, Any]:
    """Where frames come from."""
    found = frames.collect(run)
    columns = ["iteration", "pool: teacher's MD", "explored, labels by the teacher", "by students",
               "rejected by the gate",
               "reference labels: from the start", "explored"]  # fmt: skip
    rows = [
        [str(value) for value in (f.index, f.seed, f.teacher, f.students, f.rejected, f.first, f.explored)]
        for f in found
    ]
    last = found[-1]
    alt = (
        f"In iteration {last.index} the pool has {last.seed:,} frames of the teacher's MD, {last.teacher:,} explored "
        f"ones labelled by the teacher and {last.students:,} by students; {last.first:,} reference labels are from the "
        f"start, {last.explored:,} of explored frames."
    )
    table = Table("Frames that the students of an iteration were trained on", columns, rows)
    return {"pictures": [Picture("frames", draw("frames", figures.provenance(found)), alt, table)]}


def blow_ups(draw: Draw, explored: list[Explored]) -> dict[str, Any]:
    """MD that blew up, and MD that left the trust levels."""
    explored = [each for each in explored if each.counts]
    if not explored:
        return {"missing": "DP-GEN has not sorted the frames of any MD yet."}
    columns = ["iteration", "MD runs", "held", "left the trust levels", "blew up"]
    rows = []
    for each in explored:
        md, held, blown = (each.counts[name] for name in ("md", "held", "blown_up"))
        rows.append([str(value) for value in (each.index, md, held, md - held - blown, blown)])
    last = rows[-1]
    alt = f"How MD runs ended: in iteration {last[0]}, {last[2]} of {last[1]} held and {last[4]} blew up."
    pictures = [Picture("md", draw("md", figures.md(explored)), alt, Table("How MD runs ended", columns, rows))]
    blown_up = [(each.index, run_) for each in explored for run_ in each.blow_ups]
    listed = [[str(index), b.task, b.conditions, str(b.step), b.reason] for index, b in blown_up[-LISTED:]]
    title = f"MD that blew up (the latest {LISTED} of {len(blown_up)})" if len(blown_up) > LISTED else "MD that blew up"
    tables = (
        [Table(title, ["iteration", "task", "conditions", "last step", "what LAMMPS said"], listed)] if listed else []
    )
    text = [
        "A run holds if none of its frames is above the upper trust level. Whole frames of runs that blew up are used."
    ]
    return {"text": text, "pictures": pictures, "tables": tables}


def by_group(run: Run, draw: Draw, data: held_out.HeldOut) -> dict[str, Any]:
    """Errors by element, size of the force and system."""
    groups = {"element": data.elements, "size of the reference force": data.magnitudes, "system": data.systems}
    tables = [_clouds(f"Force RMSE by {name} (eV/Å)", clouds) for name, clouds in groups.items()]
    worst = max(data.elements, key=lambda name: data.elements[name].rmse[0])
    alt = (
        f"Force RMSE by element, size of the force and system; the largest of an element is that of {worst}, "
        f"{data.elements[worst].rmse[0]:.3f} eV/Å."
    )
    text = [f"Held-out frames, mean of the students of iteration {run.best.index}."]
    if run.on_policy:
        tables += _explored_errors(run, max(run.on_policy))
    return {
        "text": text,
        "pictures": [Picture("errors", draw("errors", figures.errors(groups)), alt)],
        "tables": tables,
    }


def _explored_errors(run: Run, index: int) -> list[Table]:
    """Errors where MD of an iteration went."""
    found = run.on_policy[index]
    rows = [
        [
            f"{kind}: {name}",
            str(each["n_frames"]),
            *(
                number(each[model][error])
                for error in ("force_median", "force_worst_tenth")
                for model in ("ensemble", "teacher")
            ),
        ]
        for kind, key in (("system", "systems"), ("trust class", "trust_classes"))
        for name, each in found[key].items()
    ]
    elements = [[name, number(each["ensemble"]), number(each["teacher"])] for name, each in found["elements"].items()]
    columns = ["", "frames", "median", "teacher", "worst tenth from", "teacher"]
    return [
        Table(f"Force RMSE of frames that MD of iteration {index} explored (eV/Å)", columns, rows),
        Table("The same frames by element", ["", "mean of the students", "teacher"], elements),
    ]


def time(run: Run, draw: Draw) -> dict[str, Any]:
    """Time and core hours."""
    found = costs.collect(run)
    rows = [[each.step, number(each.hours, 2), number(each.core_hours, 2), number(each.gpu_hours, 2)] for each in found]
    hours = sum(each.hours for each in found)
    known = [each.core_hours for each in found if each.core_hours is not None]
    total = f"{sum(known):.2f}" if len(known) == len(found) else "–"
    rows.append(
        ["all", f"{hours:.2f}", total, "–" if total == "–" else f"{sum(each.gpu_hours or 0 for each in found):.2f}"]
    )
    alt = "Hours by step: " + ", ".join(f"{each.step} {each.hours:.2f}" for each in found) + "."
    text = [
        f"{hours:.2f} hours in stages that finished. Time of jobs includes waiting in a queue. Core and GPU "
        "hours: what all jobs of a step asked for, until the last of them ended."
        + (" Some stages ran with a version that did not record them." if total == "–" else "")
    ]
    table = Table("Time by step, all iterations", ["step", "hours", "core hours", "GPU hours"], rows)
    return {"text": text, "pictures": [Picture("time", draw("time", figures.costs(found)), alt, table)]}


def made_with(run: Run, draw: Draw) -> dict[str, Any]:
    """Settings, versions, seeds."""
    iteration = run.best if run.metrics else run.iterations[-1]
    changed = [
        [key, _value(value), "–" if default is None else _value(default)]
        for key, value, default in settings.differences(run)
    ]
    tables = [
        Table("Keys of the ipip section that differ from their defaults", ["key", "value", "default"], changed),
        Table(
            "Versions, where this page was made; of LAMMPS, where MD ran",
            ["package", "version"],
            [[*item] for item in settings.versions(run).items()],
        ),
        Table(
            f"Seeds: every other draw follows from ipip.seed (students of iteration {iteration.index})",
            ["", "seed"],
            [[*item] for item in settings.seeds(run, iteration).items()],
        ),
    ]
    return {"tables": tables, "code": {"param.json of the latest start, complete": json.dumps(run.jdata, indent=2)}}


def _value(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def cite(run: Run, draw: Draw) -> dict[str, Any]:
    """What to write in a paper."""
    text = [
        settings.methods(run),
        "Check it against what you did, and cite the teacher, the reference method and your structures' sources, too.",
    ]
    return {"text": text, "code": {"BibTeX": settings.CITATIONS.read_text()}}
