# SPDX-License-Identifier: LGPL-3.0-or-later
"""The demonstration: IPIP on Mo-S-O from nothing to MD, with stock DP-GEN beside it.

    python examples/demo.py FOLDER

copies examples/mo_s_o to FOLDER and runs `ipip init`, `dpgen run`, the baseline, and
LAMMPS with the final model there. Called again it goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

EXAMPLE = Path(__file__).parent / "mo_s_o"
BASELINE = Path("baseline")
MD = Path("md")


def run(*command: str, cwd: Path = Path(), **options: object) -> None:
    """Run a command and show its output; stop the demonstration if it fails."""
    print("\n$", " ".join(command), flush=True)
    done = subprocess.run(command, cwd=cwd, **options)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed with status {done.returncode} in {cwd.resolve()}")


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def iterations() -> list[Path]:
    return sorted(path for path in Path().glob("iter.[0-9]*") if (path / "00.ipip/evaluate/metrics.json").is_file())


def baseline(param: dict) -> dict:
    """Stock DP-GEN on the same reference data, for as many steps as all fine-tuning together."""
    metrics = BASELINE / "metrics.json"
    if not metrics.is_file():
        BASELINE.mkdir(exist_ok=True)
        from_nothing = param["ipip"]["pretrain"]["learning_rate"]  # its rate, as fine-tuning's is too low for that
        param = {key: value for key, value in param.items() if key != "ipip"}
        for key in ("init_data_prefix", "sys_configs_prefix"):
            param[key] = f"../{param[key]}"
        data = [str(path) for path in sorted(Path().glob("iter.*/02.fp/data.*"))]
        param.update(init_data_sys=[*param["init_data_sys"], *data], model_devi_jobs=[], dp_compress=False)
        training = param["default_training_param"]
        training["learning_rate"] = from_nothing
        training["training"]["numb_steps"] *= len(iterations())
        (BASELINE / "param.json").write_text(json.dumps(param, indent=2))
        shutil.copy("machine.json", BASELINE)
        heartbeat("dpgen", "run", "param.json", "machine.json", cwd=BASELINE)
        models = [str(path) for path in sorted(BASELINE.glob("iter.000000/00.train/graph.*.pb"))]
        run("ipip", "evaluate", *models, "--data", "data/held_out", "--type-map", ",".join(param["type_map"]), "--output", str(metrics))
    return read(metrics)


def heartbeat(*command: str, cwd: Path) -> None:
    """Run a command that is silent for long, and say every 20 s that it still runs."""
    print("\n$", " ".join(command), flush=True)
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd)
    while True:
        try:
            if process.wait(timeout=20):
                raise SystemExit(f"{command[0]} failed with status {process.returncode} in {cwd.resolve()}")
            return
        except subprocess.TimeoutExpired:
            print(f"... {' '.join(command)}: running for {time.monotonic() - start:.0f} s", flush=True)


def molecular_dynamics(model: Path) -> str:
    """1,000 steps of LAMMPS from the first start structure; returns LAMMPS's speed."""
    import dpdata

    log = MD / "log.lammps"
    if not (log.is_file() and "Total wall time" in log.read_text()):
        MD.mkdir(exist_ok=True)
        system = dpdata.System("structures/mo3o9_s2.vasp", fmt="vasp/poscar", type_map=["Mo", "S", "O"])
        system.to("lammps/lmp", str(MD / "start.lmp"))
        script = f"""units metal
atom_style atomic
boundary p p p
read_data start.lmp
mass 1 95.95
mass 2 32.06
mass 3 15.999
pair_style deepmd {model.resolve()}
pair_coeff * *
velocity all create 1000 1
fix 1 all nvt temp 1000 1000 0.1
timestep 0.001
thermo 200
run 1000
"""
        (MD / "in.lammps").write_text(script)
        run("lmp", "-in", "in.lammps", cwd=MD)
    return next(line for line in log.read_text().splitlines() if line.startswith("Loop time"))


def picture(scratch: dict, path: Path) -> None:
    """Draw the held-out force errors side by side: of the mean prediction, and as points of each student."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    evaluated = [read(iteration / "00.ipip/evaluate/metrics.json") for iteration in iterations()]
    bars = {"teacher\n(CHGNet)": evaluated[0]["teacher"], "DP-GEN alone,\nall these frames": scratch["ensemble"]}
    bars |= {f"IPIP\niteration {number}": errors["ensemble"] for number, errors in enumerate(evaluated)}
    values = [errors["force_rmse"] for errors in bars.values()]
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    colors = ["tab:gray", "tab:orange", *["tab:blue"] * len(evaluated)]
    axes.bar(list(bars), values, color=colors, width=0.6)
    for x, (errors, value) in enumerate(zip([{}, scratch, *evaluated], values)):
        students = [student["force_rmse"] for student in errors.get("students", [])]
        axes.plot([x] * len(students), students, "o", color="black", markersize=4)
        axes.annotate(f"{value:.2f}", (x, max([value, *students])), (0, 5), textcoords="offset points", ha="center")
    axes.set_ylabel("held-out force RMSE (eV/Å)")
    first, last = (evaluated[number]["reference_frames"] for number in (0, -1))
    data = f"Mo-S-O, GFN1-xTB: {first} reference frames in iteration 0, {last} at the end"
    axes.set_title(f"{data}\nbars: mean prediction of two students; points: each student", fontsize=9)
    axes.margins(y=0.12)  # room for the numbers
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    start = time.monotonic()
    folder = Path(sys.argv[1])
    if not folder.is_dir():
        shutil.copytree(EXAMPLE, folder)
    os.chdir(folder)
    param = read(Path("param.json"))
    run("ipip", "init", "param.json", "machine.json")
    if any(Path().glob("iter.*/00.ipip/stop.json")):
        print("\nThe run is done already; `make clean-demo` starts over.")
    else:
        run("dpgen", "run", "param.json", "machine.json")
    scratch = baseline(param)
    best = read(iterations()[-1] / "00.ipip/stop.json")
    speed = molecular_dynamics(Path(best["models"][0]))

    run("ipip", "status")
    last = read(iterations()[-1] / "00.ipip/evaluate/metrics.json")
    table = Table("held-out force RMSE (eV/Angstrom)", "mean of students", "their mean prediction")
    table.add_row("teacher (CHGNet)", f"{last['teacher']['force_rmse']:.4f}", "")
    rows = (("without IPIP: same data, as many fine-tuning steps", scratch), ("IPIP", last))
    for name, errors in rows:
        students = [student["force_rmse"] for student in errors["students"]]
        table.add_row(name, f"{sum(students) / len(students):.4f}", f"{errors['ensemble']['force_rmse']:.4f}")
    Console(width=120).print(table)
    picture(scratch, Path("demo.png"))
    print("The reference is GFN1-xTB at 3000 K electronic temperature: semi-empirical, not DFT.")
    print(f"MD with the compressed model, {MD.resolve()}: {speed}")
    print(f"Models: {' '.join(str(Path(model).resolve()) for model in best['models'])}")
    print(f"Picture: {Path('demo.png').resolve()}")
    print(f"This call took {time.monotonic() - start:.0f} s.")


main()
