# SPDX-License-Identifier: LGPL-3.0-or-later
"""What pretraining is worth on labelled data of a density functional, for one teacher and few labels.

    python -m tests.benchmarks.real_dft FOLDER --train DATA --test DATA [DATA ...] [--teacher NAME] [--labels N ...]

DATA are folders of deepmd/npy systems. For every number of labels and seed two runs of DP-GEN with the same students
and equally many steps of training: from nothing, and pretrained on MD of the teacher from the first frame of every
training system; by ``--arms tuned`` a third one, whose pool a teacher labels that was fine-tuned on the labels first.
The input is that of ``ipip new``, with its students or those of DPA4C. Labels are a diverse part of the training
frames, the same for all seeds. Finished runs are kept. Writes real_dft.csv: errors on the test sets, in eV/Angstrom and
eV/atom, of the mean of the students and, of forces, of one student; in the first row those of the teacher, in rows
``tuned-teacher`` those of the fine-tuned ones.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dpdata

from ipip_dp import workdir
from ipip_dp.data import systems
from tests.benchmarks.mo_s_o.arms import BATCH, DPA4C, TUNED, fine_tuning, tuned_teacher, tuner
from tests.benchmarks.mo_s_o.study import DPGEN, change, compared, take_part

RUN_DATA = Path("data/train")  # where `ipip new` puts the training frames
FIRST = Path("iter.000000")
PRETRAIN = "00.ipip/pretrain"  # of one seed; the teacher's MD is the same for all
# The steps that an arm can take over from a run before.
SHARED = {
    "pretrained": ("00.ipip/seed", "00.ipip/pool", PRETRAIN),
    "from-nothing": (),
    "tuned": ("00.ipip/seed",),
}
ARMS = tuple(SHARED)


def start(root: Path, options: argparse.Namespace) -> Path:
    """The folder that `ipip new` makes of the first frame of every training system."""
    folder = root / "new"
    if folder.is_dir():
        return folder
    starts = workdir.fresh(root / "starts")
    for path in systems.find([options.train]):
        frame = dpdata.System(str(path), fmt="deepmd/npy")[0]
        frame.to("vasp/poscar", str(starts / f"{path.name}.vasp"))
    choices = ["--reference", "none", "--teacher", options.teacher, "--temperatures", options.temperatures]
    files = sorted(map(str, starts.iterdir()))
    data = ["--data", str(options.train), "--min-length", "0"]
    subprocess.run(["ipip", "new", str(folder), *files, *choices, *data], check=True)
    return folder


def parameters(new: Path, options: argparse.Namespace, arm: str, seed: int) -> dict[str, Any]:
    """The param.json of one run."""
    param = json.loads((new / "param.json").read_text())
    ipip, training = param["ipip"], param["default_training_param"]["training"]
    param.update(numb_models=options.numb_models, model_devi_jobs=[])
    if options.students == "dpa4c":
        change(param, {**DPA4C, BATCH: "auto:96"})
    ipip.update(seed=seed, check_interval=0.5, held_out=[str(options.test[0].resolve())])
    ipip["teacher_md"].update(nsteps=options.md_steps, interval=10)
    ipip["pretrain"]["numb_steps"] = options.pretrain
    training["numb_steps"] = options.finetune
    if arm == "tuned":
        ipip["teacher_fine_tune"] = fine_tuning(options.teacher)
    if arm == "from-nothing":  # from nothing, students learn better at the rate of pretraining
        training["numb_steps"] += options.pretrain
        param["default_training_param"]["learning_rate"] = ipip["pretrain"]["learning_rate"]
        del param["ipip"]
    return param


def prepare(
    folder: Path, new: Path, labels: Path, param: dict[str, Any], programs: list[Path], shared: dict[str, Path]
) -> None:
    """A run's folder, with programs it needs, and with finished steps of other runs, by the folder of each step."""
    if folder.is_dir():
        return
    temporary = workdir.fresh(folder.with_name(f".{folder.name}.tmp"))
    shutil.copytree(new, temporary, dirs_exist_ok=True, ignore=shutil.ignore_patterns("data"))
    shutil.copytree(labels, temporary / RUN_DATA)
    for program in programs:
        shutil.copy(program, temporary)
    workdir.write_json(temporary / "param.json", param)
    for name, other in shared.items():
        shutil.copytree(other / FIRST / name, temporary / FIRST / name, symlinks=True)
    temporary.rename(folder)


def run(folder: Path, tests: list[Path], type_map: list[str]) -> dict[str, Any]:
    """``dpgen run``, and the errors of its models on the test sets."""
    if not (folder / "finished.json").is_file():
        with (folder / "dpgen.out").open("a") as log:
            if subprocess.run(DPGEN, cwd=folder, stdout=log, stderr=subprocess.STDOUT).returncode:
                raise SystemExit(f"{' '.join(DPGEN)} failed in {folder}: see dpgen.out there")
        models = [str(path) for path in sorted((folder / FIRST / "00.train").glob("graph.*"))]
        workdir.write_json(folder / "finished.json", tested(folder, tests, {"type": "dp", "models": models}, type_map))
    return json.loads((folder / "finished.json").read_text())


def tested(folder: Path, tests: list[Path], labeler: dict[str, Any], type_map: list[str]) -> dict[str, Any]:
    """Errors on every test set; those of energies after alignment for each element."""
    result = {}
    for path in tests:
        found = compared(folder / "errors" / f"{path.name}.json", [path], labeler, type_map)
        students = [student["force_rmse"] for student in found["students"]]
        result[f"{path.name}_force"] = round(found["ensemble"]["force_rmse"], 4)
        result[f"{path.name}_student"] = round(sum(students) / len(students), 4)
        result[f"{path.name}_energy"] = round(found["ensemble"]["energy_rmse_per_atom_aligned"], 5)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, nargs="+", required=True)
    parser.add_argument("--teacher", default="sevennet", help="as for ipip new (default: %(default)s)")
    parser.add_argument("--temperatures", default="500,900,1300", help="of the teacher's MD, K (default: %(default)s)")
    parser.add_argument("--md-steps", type=int, default=800, help="of each MD of the teacher (default: %(default)s)")
    parser.add_argument("--labels", type=int, nargs="+", default=[60, 240])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--students", choices=["se_e2_a", "dpa4c"], default="se_e2_a", help="(default: %(default)s)")
    parser.add_argument("--numb-models", type=int, default=2, help="students of a run (default: %(default)s)")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS[:2], help="(default: the first two)")
    parser.add_argument("--pretrain", type=int, default=12000, help="steps (default: %(default)s)")
    parser.add_argument("--finetune", type=int, default=6000, help="steps (default: %(default)s)")
    options = parser.parse_args()
    root = options.folder.resolve()
    root.mkdir(parents=True, exist_ok=True)
    tests = [path.resolve() for path in options.test]
    new = start(root, options)
    param = json.loads((new / "param.json").read_text())
    names = ("ipip-dp", "deepmd-kit", "dpgen")
    type_map, teacher = param["type_map"], param["ipip"]["teacher"]
    print(*(f"{name} {importlib.metadata.version(name)}" for name in names), teacher, flush=True)
    rows = [{"arm": "teacher", "labels": 0, "seed": 0, **tested(root / "teacher", tests, teacher, type_map)}]
    print(rows[-1], flush=True)
    made: dict[str, Path] = {}  # steps, and the run that has done them
    for seed in options.seeds:
        made.pop(PRETRAIN, None)
        for number in options.labels:
            labels = root / "labels" / str(number)
            take_part(options.train, labels, number, type_map)
            for arm in options.arms:
                folder = root / f"{arm}-{number}-seed{seed}"
                shared = {name: made[name] for name in SHARED[arm] if name in made}
                programs = [tuner(options.teacher)] if arm == "tuned" else []
                prepare(folder, new, labels, parameters(new, options, arm, seed), programs, shared)
                found = {arm: run(folder, tests, type_map)}
                if arm == "tuned":
                    model = folder / workdir.Iteration(0).teacher / "task" / TUNED
                    found["tuned-teacher"] = tested(
                        folder / "teacher", tests, tuned_teacher(options.teacher, model), type_map
                    )
                rows += [{"arm": name, "labels": number, "seed": seed, **errors} for name, errors in found.items()]
                print(rows[-len(found) :], flush=True)
                workdir.write_csv(root / "real_dft.csv", rows)
                made.update(dict.fromkeys(SHARED[arm], folder))


if __name__ == "__main__":
    main()
