# SPDX-License-Identifier: LGPL-3.0-or-later
"""One page of plots and one table from results.csv."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp import workdir

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ERRORS = ("held_out_ensemble", "paper_ensemble")
ERROR = ERRORS[0]
TEXTS = ("name", "group", "reference")
KINDS = {"scratch": "DP-GEN without IPIP", "once": "pretrained once", "ipip": "IPIP, two rounds"}
DPA4C_KINDS = {
    "curve-alone": KINDS["scratch"],
    "curve-pretrained": "pretrained once, two thirds of the steps",
    "curve-pretrained-less": "pretrained once, a third of the steps",
}
TWICE = {"scratch2x": KINDS["scratch"], "finetune2x": KINDS["once"]}  # as many labels, twice as long fine-tuned
BESIDE = 1.06  # so that their points do not hide those of the others
WHERE_MD_GOES = {  # arms of on_policy.csv, by what the picture calls them
    "scratch2x-240": "DP-GEN, labels of\nthe teacher's MD",
    "once-240": "pretrained once,\nthe same labels",
    "rounds-no-frames-240": "IPIP, three rounds,\nthe same labels",
    "dpgen-twice-240": "DP-GEN, half of the\nlabels explored",
    "gathered-twice-240": "IPIP, half of the\nlabels explored",
    "gathered-thrice-240": "IPIP, three quarters\nexplored",
}
EXPLORED = "explored-240"  # the arm whose rounds are drawn against their labels
SPAN = 0.1  # eV/Å that a panel shows at least, so that noise does not look large
COLORS = {
    "DP-GEN without IPIP": "tab:blue",
    "pretrained once": "tab:orange",
    "pretrained once, longer": "tab:purple",
    "pretrained once, fine-tuned longer": "tab:orange",
    "pretrained once, two thirds of the steps": "tab:orange",
    "pretrained once, a third of the steps": "tab:purple",
    "IPIP, two rounds": "tab:green",
    "IPIP, labels of explored frames": "tab:red",
}


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of results.csv, numbers as numbers."""
    with path.open() as file:
        return [
            {key: value if key in TEXTS else float(value or "nan") for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


def last_rounds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last iteration of every arm."""
    return list({row["name"]: row for row in rows}.values())


def kind_of(row: dict[str, Any]) -> str:
    """The name of a row's arm without its labels and seed."""
    return str(row["name"]).partition("-seed")[0].rpartition("-")[0]


def curve(axes: Axes, points: Iterable[tuple[float, float]], name: str) -> None:
    """Seeds as points, their means as a line."""
    by_x = defaultdict(list)
    for x, y in points:
        by_x[x].append(y)
    numbers = sorted(by_x)
    axes.plot(numbers, [np.mean(by_x[x]) for x in numbers], "-", color=COLORS[name], label=name)
    axes.plot(
        [x for x in numbers for _ in by_x[x]], [y for x in numbers for y in by_x[x]], "o", color=COLORS[name], ms=4
    )


def labels_panel(axes: Axes, rows: list[dict[str, Any]], explored: bool = True) -> None:
    """Error against the number of labels, and how it falls with labels of explored frames."""
    teacher = next(row[ERROR] for row in rows if row["name"] == "teacher")
    axes.axhline(teacher, color="tab:gray", ls="--", label="teacher (CHGNet)")
    answers = [row for row in last_rounds(rows) if row["group"] == "labels"]
    for kind, text in KINDS.items():
        curve(axes, [(row["labels"], row[ERROR]) for row in answers if kind_of(row) == kind], text)
    for kind, text in TWICE.items():
        points = [(BESIDE * row["labels"], row[ERROR]) for row in last_rounds(rows) if kind_of(row) == kind]
        if points:
            label = f"{text}, twice as long"
            axes.plot(*zip(*points, strict=True), "o", color=COLORS[text], mfc="none", ms=4, label=label)
    rounds = [(row["labels"], row[ERROR]) for row in rows if row["name"] == EXPLORED and explored]
    if rounds:
        curve(axes, rounds, "IPIP, labels of explored frames")
    ticks = {row["labels"] for row in answers} | {labels for labels, _ in rounds[-1:]}
    label_axes(axes, ticks, "how much better, for the same labels?")


def label_axes(axes: Axes, ticks: set[float], title: str) -> None:
    """What panels of error against labels have in common."""
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(sorted(ticks))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set(xlabel="reference labels", ylabel="held-out force RMSE (eV/Å)")
    axes.set_title(title)
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def dpa4c_panel(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Error of one DPA4C student against the number of labels, at equal steps."""
    answers = [row for row in rows if row["group"] == "curve"]
    for kind, text in DPA4C_KINDS.items():
        curve(axes, [(row["labels"], row[ERROR]) for row in answers if kind_of(row) == kind], text)
    steps = answers[0]["pretraining_steps"] + answers[0]["finetuning_steps"]
    label_axes(axes, {row["labels"] for row in answers}, f"one DPA4C student, {steps:,.0f} steps in all")


def by_seeds(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The last iterations of the arms that differ in nothing but the seed, by the name of the first."""
    result = defaultdict(list)
    for row in sorted(last_rounds(rows), key=lambda row: row["seed"]):
        result[row["name"].partition("-seed")[0]].append(row)
    return result


def arms_panel(axes: Axes, rows: list[dict[str, Any]], group: str, title: str, beside: str | None) -> None:
    """The arms of one group, and in gray the one they are to be compared with: its first seed is the dashed line."""
    chosen = {name: seeds for name, seeds in by_seeds(rows).items() if seeds[0]["group"] == group or name == beside}
    for name, seeds in chosen.items():
        color = "tab:gray" if name == beside else "tab:blue"
        first, *others = (row[ERROR] for row in seeds)
        axes.plot(first, name, "o", color=color)
        axes.plot(others, [name] * len(others), "o", color=color, mfc="none")
        if others:
            axes.plot(np.mean([first, *others]), name, "|", color=color, ms=14)
        if name == beside:
            axes.axvline(first, color=color, ls="--", lw=1)
    middle = np.mean(axes.get_xlim())
    axes.set_xlim(min(axes.get_xlim()[0], middle - SPAN / 2), max(axes.get_xlim()[1], middle + SPAN / 2))
    axes.margins(y=0.5 / len(chosen))
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title(title)


def steps_panel(axes: Axes, rows: list[dict[str, Any]], labels: float) -> None:
    """Error against all training steps of a student."""
    families = {
        "DP-GEN without IPIP": ("scratch", "scratch2x", "finetuning-only"),
        "pretrained once, longer": ("once", "pretraining-only"),
        "pretrained once, fine-tuned longer": ("once", "finetune2x", "finetune4x"),
        "IPIP, two rounds": ("ipip",),
    }
    ticks = set()
    for family, kinds in families.items():
        points = [
            (row["pretraining_steps"] + row["finetuning_steps"], row[ERROR])
            for row in rows
            if kind_of(row) in kinds and row["labels"] == labels
        ]
        if points:
            curve(axes, points, family)
            ticks.update(x for x, _ in points)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(sorted(ticks))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(axis="x", labelsize=8, rotation=30)
    axes.set(xlabel="training steps of one student", ylabel="held-out force RMSE (eV/Å)")
    axes.set_title(f"error against training steps ({labels:.0f} labels)")
    axes.legend(frameon=False, fontsize=8)


def save(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=110)
    os.replace(temporary, path)


def md_panel(axes: Axes, found: list[dict[str, Any]]) -> None:
    """How many runs of MD hold, one point per seed."""
    seeds = defaultdict(list)
    for row in found:
        seeds[row["name"].partition("-seed")[0]].append(row["runs_that_hold"])
    names = [name for name in WHERE_MD_GOES if name in seeds]
    for place, name in enumerate(names):
        held = sorted(seeds[name])
        spread = np.linspace(-0.2, 0.2, len(held)) if len(held) > 1 else [0.0]
        own = "IPIP" in WHERE_MD_GOES[name] or "pretrained" in WHERE_MD_GOES[name]
        axes.plot(held, place + np.asarray(spread), "o", color="tab:red" if own else "tab:blue")
    axes.set_yticks(range(len(names)), [WHERE_MD_GOES[name] for name in names], fontsize=8)
    runs = int(max(row["runs"] for row in found))
    axes.set_xlim(0, runs + 0.5)
    axes.set_xticks(range(0, runs + 1, 2))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set(xlabel=f"MD runs of 10 ps that hold, of {runs}")
    axes.set_title("240 labels: which MD holds? (a point per seed)")


def summary_picture(rows: list[dict[str, Any]], found: list[dict[str, Any]], path: Path) -> None:
    """Draw the error against the number of labels, and how MD goes if anything of that is ``found``."""
    from matplotlib.figure import Figure

    panels = 2 if any(row["name"] in WHERE_MD_GOES for row in found) else 1
    figure = Figure(figsize=(6 * panels, 4), layout="constrained")
    first, *others = np.atleast_1d(figure.subplots(1, panels))
    labels_panel(first, rows, explored=False)
    for axes in others:
        md_panel(axes, found)
    save(figure, path)


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the page."""
    from matplotlib.figure import Figure

    last = last_rounds(rows)
    numbers = sorted({row["labels"] for row in last if row["group"] == "labels"})
    middle = numbers[len(numbers) // 2]
    beside = f"ipip-{middle:.0f}"
    groups = {
        "equal compute": (f"equal training steps ({middle:.0f} labels)", beside),
        "forgetting": ("which forgetting, and when", beside),
        "batch size": (f"4 frames a batch ({middle:.0f} labels)", f"once-{middle:.0f}"),
        "loss": (f"the loss ({middle:.0f} labels)", f"once-{middle:.0f}"),
        "pool size": ("how many frames to pretrain on", f"once-{middle:.0f}"),
        "pool": ("what the second round trains on", beside),
        "students": ("four students", f"once-{middle:.0f}"),
        "settings": ("other settings", f"as-in-the-example-{numbers[-1]:.0f}"),
        "PBE": ("PBE as the reference", "teacher-pbe"),
    }
    groups = {group: how for group, how in groups.items() if any(row["group"] == group for row in last)}
    curves = [lambda axes: labels_panel(axes, rows)]
    if any(row["group"] in ("steps", "equal compute") for row in last):
        curves.append(lambda axes: steps_panel(axes, rows, middle))
    if any(row["group"] == "curve" for row in last):
        curves.append(lambda axes: dpa4c_panel(axes, last))
    panels = len(curves) + len(groups)
    columns = min(3, panels)
    lines = -(-panels // columns)
    figure = Figure(figsize=(5 * columns, 4 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[panels:]:
        axes.remove()
    for axes, draw in zip(grid.flat, curves, strict=False):
        draw(axes)
    for axes, (group, how) in zip(grid.flat[len(curves) :], groups.items(), strict=False):
        arms_panel(axes, last, group, *how)
        axes.set_xlabel("held-out force RMSE (eV/Å)")
    save(figure, path)


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines)


def table(rows: list[dict[str, Any]]) -> str:
    """The last iteration of every arm in Markdown, all of exploring ones; students: mean error and spread.

    Energies, of the mean of the students, after alignment for each element.
    """
    last = last_rounds(rows)
    rows = [row for row in rows if row["group"] == "exploration" or row in last]
    teachers = {row["reference"]: row for row in rows if row["group"] == "teacher" and not row["labels"]}
    columns = (
        "arm",
        "labels",
        "iteration",
        "steps: pretraining + fine-tuning",
        "held-out: student",
        "held-out: ensemble",
        "below teacher",
        "held-out: energy (meV/atom)",
        "paper's structure: ensemble",
        "below teacher",
    )
    lines = []
    for row in rows:
        below = [1 - row[error] / teachers[row["reference"]][error] for error in ERRORS]
        held_out, paper = ("" if np.isnan(part) else f"{part:.0%}" for part in below)
        energies = [1000 * row[f"held_out_energy_{kind}"] for kind in ("aligned", "raw")]
        energy = "" if np.isnan(energies[0]) else f"{energies[0]:.0f} (raw {energies[1]:.0f})"
        cells = [
            row["name"],
            f"{row['labels']:.0f}",
            f"{row['iteration']:.0f}",
            f"{row['pretraining_steps']:,.0f} + {row['finetuning_steps']:,.0f}",
            f"{row['held_out_student']:.3f} ± {row['held_out_spread'] / 2:.3f}",
            f"{row['held_out_ensemble']:.3f}",
            held_out,
            energy,
            f"{row['paper_ensemble']:.3f}" if paper else "",
            paper,
        ]
        lines.append(cells)
    return markdown(columns, lines)


def seeds_table(rows: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over seeds of the arms that have several, in Markdown."""
    lines = []
    for name, seeds in by_seeds(rows).items():
        if len(seeds) > 1:
            cells = [name, str(len(seeds))]
            for error in ("validation_ensemble", *ERRORS):
                values = [row[error] for row in seeds]
                cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
            lines.append(cells)
    return markdown(("arm", "seeds", "validation", "held-out", "paper's structure"), lines) if lines else ""


def write(root: Path) -> None:
    """Write study.png, labels.png and study.md beside results.csv."""
    rows = read(root / "results.csv")
    if any(row["group"] == "labels" for row in rows):  # not with --only and other arms
        md = root / "on_policy.csv"
        summary_picture(rows, read(md) if md.is_file() else [], root / "labels.png")
        picture(rows, root / "study.png")
    parts = [
        "Force RMSE in eV/Å; ± is half the difference between the two students. Of arms with two rounds the second "
        "is shown.\n",
        table(rows),
    ]
    if seeds := seeds_table(rows):
        parts += ["Mean and standard deviation of the arms with several seeds:\n", seeds]
    workdir.write_text(root / "study.md", "\n".join(parts))
