# SPDX-License-Identifier: LGPL-3.0-or-later
"""Draw what has been collected, in colours that a colour-blind reader can tell apart on white and on black."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.evaluation import calibration
from ipip_dp.evaluation.stopping import ON_POLICY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ipip_dp.report.costs import Cost
    from ipip_dp.report.exploration import Explored
    from ipip_dp.report.frames import Frames
    from ipip_dp.report.held_out import Cloud
    from ipip_dp.report.run import Run
    from ipip_dp.steps.trust import Measured

# Okabe and Ito's colours, those with a contrast of 3 or more to white and to the page's dark background.
STUDENTS, TEACHER, EXPLORED, REFERENCE, OTHER = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#808080"
INK, PAPER = "#1a1a1b", "#fefeff"  # made the page's own text colour and background in the page
WIDTH = 4.8  # inches: at 400 pixels the text of a figure is still as large as that of the page
PANELS = 8  # of a figure, at most
BINS = 40
FINEST = 1e4  # the largest deviation shown over the smallest
STYLE: dict[str, Any] = {
    **dict.fromkeys(["text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"], INK),
    "figure.facecolor": PAPER,
    **dict.fromkeys(["axes.spines.top", "axes.spines.right", "legend.frameon"], False),
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "font.size": 10,
    "legend.fontsize": 9,
    "grid.color": OTHER,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "figure.constrained_layout.use": True,
    "figure.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "ipip",
}


def _figure(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure

    figure = Figure((WIDTH, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _legend(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """A legend above the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, handlelength=1.5, columnspacing=1.2)


def _by_iteration(axes: Axes, indices: Sequence[int]) -> None:
    axes.set_xticks(indices[:: math.ceil(len(indices) / 10)])
    room = max(0.6, 1.5 - (indices[-1] - indices[0]) / 2)  # bars of few iterations are no wider than those of four
    axes.set_xlim(indices[0] - room, indices[-1] + room)
    axes.set_xlabel("iteration")


def _from_zero(axes: Axes) -> None:
    """Let the ordinate begin at 0, with room for markers at its end."""
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])


def learning_curve(run: Run) -> Figure:
    """Errors of students, their mean and the teacher in every iteration."""
    figure, ((forces,), (energies,)) = _figure(4.4, 2, sharex=True, height_ratios=[2.2, 1])
    indices = [iteration.index for iteration in run.evaluated]
    errors, figures = [run.metrics[index] for index in indices], run.figures
    forces.plot(indices, [each["teacher"]["force_rmse"] for each in errors], "_--", color=TEACHER, label="teacher")
    noise = [each.held_out.noise for each in figures]
    mean = [each.held_out.value for each in figures]
    forces.errorbar(
        indices, mean, noise, fmt="o-", color=STUDENTS, ms=5, capsize=3, label="mean of the students ± noise"
    )
    points = [
        (index, student["force_rmse"])
        for index, each in zip(indices, errors, strict=True)
        for student in each["students"]
    ]
    forces.plot(*zip(*points, strict=True), "_", color=STUDENTS, ms=12, mew=1.5, label="each student")
    measured = [
        (index, each.md[ON_POLICY]) for index, each in zip(indices, figures, strict=True) if ON_POLICY in each.md
    ]
    if measured:
        at = [index for index, _ in measured]
        forces.errorbar(
            at,
            [each.value for _, each in measured],
            [each.noise for _, each in measured],
            fmt="s:",
            color=EXPLORED,
            ms=5,
            capsize=3,
            label="where MD went (median)",
        )
        others = [run.on_policy[index]["teacher"]["force_median"] for index in at]
        forces.plot(at, others, "D:", color=TEACHER, ms=5, mfc="none", label="teacher there (median)")
    forces.set_ylabel("force RMSE (eV/Å)")
    _from_zero(forces)
    for model, style in (("ensemble", {"fmt": "o-", "color": STUDENTS}), ("teacher", {"fmt": "_--", "color": TEACHER})):
        values = [1000 * each[model]["energy_rmse_per_atom_aligned"] for each in errors]
        energies.errorbar(indices, values, ms=5, **style)
    energies.set_ylabel("energy RMSE\n(meV/atom)")
    _from_zero(energies)
    _by_iteration(energies, indices)
    _legend(figure, forces)
    return figure


def parity(clouds: Mapping[str, Cloud], unit: str, digits: int, scale: float = 1.0) -> Figure:
    """Predictions against labels, a panel for each of the largest clouds."""
    shown = list(clouds.items())[:PANELS]
    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure, axes = _figure(0.55 + rows * (WIDTH / columns) * (0.98 if columns == 2 else 0.75), rows, columns)
    for (name, cloud), panel in zip(shown, axes.flat, strict=False):
        points = cloud.points * scale
        size = 3 if len(points) > 300 else 6
        for column, color, label in ((2, TEACHER, "teacher"), (1, STUDENTS, "mean of the students")):
            panel.plot(points[:, 0], points[:, column], ".", color=color, ms=size, alpha=0.5, mew=0, rasterized=True)
            panel.plot([], [], "o", color=color, ms=5, label=label)
        ends = np.nanpercentile(points[np.isfinite(points).any(axis=1)], [0.05, 99.95])
        margin = 0.05 * (ends[1] - ends[0]) or 1
        limits = (ends[0] - margin, ends[1] + margin)
        panel.plot(limits, limits, color=INK, lw=0.8, zorder=1)
        panel.set(xlim=limits, ylim=limits, aspect="equal")
        own, other = (f"{value * scale:.{digits}f}" for value in cloud.rmse)
        panel.set_title(f"{name}\nRMSE {own}, teacher {other}")
    for panel in axes.flat[len(shown) :]:
        panel.set_axis_off()
    figure.supxlabel(f"reference ({unit})", fontsize=9.5)
    figure.supylabel(f"predicted ({unit})", fontsize=9.5)
    _legend(figure, axes.flat[0])
    return figure


def deviations(explored: Sequence[Explored]) -> Figure:
    """How the model deviations of every iteration are distributed, and the trust levels."""
    figure, ((axes,),) = _figure(3.4)
    values = np.concatenate([each.deviations for each in explored])
    lower, upper = np.percentile(values, [0.1, 99.9])
    lower = max(lower, upper / FINEST)  # a perfect crystal, in which all forces are zero, has no deviation
    edges = np.geomspace(0.9 * lower, 1.1 * upper, BINS + 1)
    middle = np.sqrt(edges[1:] * edges[:-1])
    for number, each in enumerate(explored):
        counts = np.histogram(np.clip(each.deviations, edges[0], edges[-1]), edges)[0]
        width = 0.4 * counts / max(counts.max(), 1)
        axes.fill_betweenx(middle, each.index - width, each.index + width, color=STUDENTS, alpha=0.6, lw=0, step="mid")
        median = float(np.median(each.deviations))
        axes.plot(
            [each.index - 0.25, each.index + 0.25],
            [median, median],
            color=STUDENTS,
            lw=2,
            label=None if number else "frames of MD, and their median",
        )
        for level, style, label in zip(
            each.levels, ("-", "--"), ("lower trust level", "upper trust level"), strict=True
        ):
            axes.plot(
                [each.index - 0.45, each.index + 0.45],
                [level, level],
                style,
                color=TEACHER,
                lw=1.5,
                label=None if number else label,
            )
    axes.set(yscale="log", ylabel="max. force deviation (eV/Å)")
    _plain(axes.yaxis)
    _by_iteration(axes, [each.index for each in explored])
    _legend(figure, axes)
    return figure


def _plain(axis: Any) -> None:
    """Numbers such as 0.2 on a logarithmic axis."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def calibrated(measured: Measured, present: tuple[float, float], held_out: np.ndarray | None = None) -> Figure:
    """True errors of labelled frames against the model deviation, with present and measured trust levels."""
    figure, ((axes,),) = _figure(3.9)
    if held_out is not None:
        axes.plot(*held_out.T, ".", color=OTHER, ms=3, alpha=0.5, mew=0, rasterized=True)
        axes.plot([], [], "o", color=OTHER, ms=4, label="held-out frames")
    axes.plot(*_columns(measured), "o", color=STUDENTS, ms=4, alpha=0.7, mew=0, label="explored frames")
    deviation, expected = calibration.expected_errors(measured.rows)
    axes.plot(deviation, expected, color=INK, lw=1.6, label="error to be expected")
    for level, style in zip(present, ("-", "--"), strict=True):
        axes.axvline(level, ls=style, color=TEACHER, lw=1.5, label="levels now" if style == "-" else None)
    for level, style in zip(measured.levels or (), ("-", "--"), strict=False):
        axes.axvline(level, ls=style, color=EXPLORED, lw=1.5, label="levels measured" if style == "-" else None)
    for error, side, text in (
        (measured.accurate, "top", "accurate below"),
        (measured.worthless, "bottom", "failed above"),
    ):
        axes.axhline(error, color=REFERENCE, lw=1, ls=":")
        axes.annotate(text, (1, error), xycoords=("axes fraction", "data"), ha="right", va=side, fontsize=8.5)
    axes.set(xscale="log", yscale="log", xlabel="max. force deviation (eV/Å)", ylabel="true force RMSE (eV/Å)")
    _plain(axes.xaxis)
    _plain(axes.yaxis)
    _legend(figure, axes)
    return figure


def _columns(measured: Measured) -> tuple[list[float], list[float]]:
    return [row["deviation"] for row in measured.rows], [row["ensemble"] for row in measured.rows]


def stacked(panels: Sequence[tuple[str, Sequence[tuple[str, str, Sequence[int]]]]], indices: Sequence[int]) -> Figure:
    """Bars of every iteration, one panel above the other: their title, and name, colour and heights of each part."""
    figure, axes = _figure(0.9 + 1.9 * len(panels), len(panels), sharex=True)
    for (title, parts), panel in zip(panels, axes[:, 0], strict=True):
        below = np.zeros(len(indices))
        for name, color, heights in parts:
            panel.bar(indices, heights, 0.7, bottom=below, color=color, label=name)
            below += heights
        panel.set_title(title)
        panel.grid(axis="x", visible=False)
        panel.legend(loc="upper left", bbox_to_anchor=(1, 1), handlelength=0.8, borderaxespad=0)
        panel.yaxis.get_major_locator().set_params(integer=True)
        panel.yaxis.set_major_formatter("{x:,.0f}")
    _by_iteration(axes[-1, 0], indices)
    return figure


def provenance(frames: Sequence[Frames]) -> Figure:
    """Frames of pool and reference data by where they come from."""
    pool = [
        ("teacher's MD", OTHER, [each.seed for each in frames]),
        ("by the teacher", TEACHER, [each.teacher for each in frames]),
        ("by students", STUDENTS, [each.students for each in frames]),
    ]
    labels = [
        ("from the start", OTHER, [each.first for each in frames]),
        ("explored", REFERENCE, [each.explored for each in frames]),
    ]
    return stacked([("frames of the pool", pool), ("frames with reference labels", labels)], [f.index for f in frames])


def md(explored: Sequence[Explored]) -> Figure:
    """How the MD runs of every iteration went."""
    counts = [each.counts for each in explored]
    parts = [
        ("held", EXPLORED, [each["held"] for each in counts]),
        ("left the\ntrust levels", OTHER, [each["md"] - each["held"] - each["blown_up"] for each in counts]),
        ("blew up", TEACHER, [each["blown_up"] for each in counts]),
    ]
    return stacked([("MD runs", parts)], [each.index for each in explored])


def errors(groups: Mapping[str, Mapping[str, Cloud]]) -> Figure:
    """Force errors by element, size of the force and system, as far as they fit."""
    shown = {title: dict(list(clouds.items())[:PANELS]) for title, clouds in groups.items()}
    sizes = [len(clouds) for clouds in shown.values()]
    figure, axes = _figure(0.9 + 0.55 * len(sizes) + 0.25 * sum(sizes), len(sizes), sharex=True, height_ratios=sizes)
    for (title, clouds), panel in zip(shown.items(), axes[:, 0], strict=True):
        rows = range(len(clouds))
        own, other = zip(*(cloud.rmse for cloud in clouds.values()), strict=True)
        panel.hlines(rows, own, other, color=OTHER, lw=1.5, alpha=0.6)
        panel.plot(own, rows, "o", color=STUDENTS, ms=6, label="mean of the students")
        panel.plot(other, rows, "D", color=TEACHER, ms=5, label="teacher")
        panel.set(yticks=rows, yticklabels=clouds, ylim=(len(clouds) - 0.5, -0.5))
        panel.set_title(title)
        panel.grid(axis="y", visible=False)
    axes[-1, 0].set_xlabel("force RMSE (eV/Å)")
    axes[-1, 0].set_xlim(left=0)
    _legend(figure, axes[0, 0])
    return figure


def costs(found: Sequence[Cost]) -> Figure:
    """Time of every step."""
    figure, ((axes,),) = _figure(0.7 + 0.27 * len(found))
    hours = [cost.hours for cost in found]
    minutes = max(hours) < 2
    axes.barh(range(len(found)), [60 * hour if minutes else hour for hour in hours], 0.65, color=STUDENTS)
    axes.set(yticks=range(len(found)), yticklabels=[cost.step for cost in found], ylim=(len(found) - 0.4, -0.6))
    axes.set_xlabel("minutes" if minutes else "hours")
    axes.grid(axis="y", visible=False)
    return figure
