# SPDX-License-Identifier: LGPL-3.0-or-later
"""IPIP against its alternatives on Mo-S-O: every arm is a param.json that ``dpgen run`` runs.

    python -m tests.benchmarks.mo_s_o.study FOLDER --quick | --full [--only ARM ...] [--baselines LABELER ...]

Each arm has its folder; finished arms are kept, an interrupted one goes on. Arms that begin alike
share their beginning: its finished steps are copied from the arm that made them. Two students
train at a time. Beside the teacher other potentials can be tested: LABELER is a JSON file of a labeler, as for
``ipip label``, its row has the file's name. Results: results.csv (one row per arm and iteration), study.png, study.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dpdata
import numpy as np

from ipip_dp import workdir
from ipip_dp.checks import run_input as check
from ipip_dp.config import inputs
from ipip_dp.config.params import Params
from ipip_dp.data import diversity, gate, labelled, provenance, systems
from ipip_dp.labelers import predict
from ipip_dp.steps import pretrain
from ipip_dp.steps.context import Context
from ipip_dp.steps.evaluate import errors as compare
from tests.benchmarks.mo_s_o import EXAMPLE, TYPE_MAP, labeler, report
from tests.benchmarks.mo_s_o.arms import (
    FINETUNE,
    PRETRAIN,
    SCHEDULE,
    SIZES,
    TRAIN_FRAMES,
    TUNED,
    Arm,
    Size,
    arms,
    tuned_teacher,
    tuner,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DATA = Path(__file__).with_name("data.tar.xz")
PBE = EXAMPLE.parent / "mo_s_o_cp2k/data"
COLUMNS = ("validation", "held_out", "paper")
DPGEN = ("dpgen", "run", "param.json", "machine.json")
TEACHERS = (Arm("teacher", "teacher", 0), Arm("teacher-pbe", "teacher", 0, reference="PBE"))
TUNED_TEACHER = Arm("teacher-tuned-240", "teacher", 240)
BASELINES = "baselines"
# Folders of iteration 0 that exist at the end of each stage, and DP-GEN's record of it.
STAGES = {
    "pretrain": (["00.ipip/pretrain"], 0),
    "train": (["00.ipip/pretrain", "00.ipip/forgotten", "00.ipip/evaluate", "00.train"], 3),
    "iteration": (["00.ipip", "00.train", "01.model_devi", "02.fp"], 9),
}


def parameters(arm: Arm, size: Size) -> dict[str, Any]:
    """The arm's param.json."""
    param = json.loads((EXAMPLE / "param.json").read_text())
    param["init_data_sys"] = [arm.train]
    # D stays fixed unless the arm says otherwise, so that arms have equally many reference labels.
    param.update(fp_task_max=0, dp_compress=False)
    ipip = param["ipip"]
    ipip.update(seed=arm.seed, held_out=[next(iter(arm.tests.values()))], stop={"patience": 100}, check_interval=0.5)
    ipip["forget"] = {"method": "reinit"}  # the paper's
    # of all arms, but where they say; the example has had others since
    param["default_training_param"]["loss"].update(start_pref_e=0.02, start_pref_f=1000)
    del ipip["init"]
    job = {**param["model_devi_jobs"][0], "temps": [1000, 2000]}
    param["model_devi_jobs"] = [{**job, "nsteps": 3**i * size.exploration} for i in range(arm.rounds - 1)]
    changes = {PRETRAIN: size.pretrain, FINETUNE: size.finetune}
    if arm.plain:  # from nothing, students learn better at the rate of pretraining
        changes[SCHEDULE] = ipip["pretrain"]["learning_rate"]
    change(param, {**changes, **arm.changes})
    if arm.plain:
        del param["ipip"]
    return param


def change(param: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Set keys of a param.json, given by their paths: ``model_devi_jobs.0.nsteps``."""
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = param
        for key in parents:
            section = section[int(key)] if key.isdigit() else section.setdefault(key, {})
        section[last] = int(value) if path in (PRETRAIN, FINETUNE) else value


def context(folder: Path) -> Context:
    """What the steps of a run in this folder see."""
    jdata, mdata = inputs.load_input(folder / "param.json", folder / "machine.json")
    jdata = check.normalized(jdata, "param.json")
    return Context(workdir.Iteration(0), Params.from_jdata(jdata), jdata, mdata)


def pretraining_inputs(folder: Path) -> list[dict[str, Any]]:
    """What the students of iteration 0 pretrain from."""
    run = context(folder)
    return [pretrain.training_input(run, member, ["pool"]) for member in run.pretrained_students]


def unpack(root: Path, labels: Iterable[int], pools: Iterable[int] = ()) -> None:
    """The data, and diverse parts of the training frames and of the pool, of so many frames."""
    if not (root / "data").is_dir():
        temporary = workdir.fresh(root / ".data.tmp")
        with tarfile.open(DATA) as archive:
            # The option `filter` came with Python 3.11.4 and 3.10.12.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(temporary)
        for name in ("train", "held_out"):
            shutil.copytree(PBE / name, temporary / f"pbe_{name}")
        temporary.rename(root / "data")
    data = root / "data"
    for number in labels:
        target = data / f"train-{number}"
        if number <= TRAIN_FRAMES:
            take_part(data / "train", target, number, TYPE_MAP)
        elif not target.is_dir():  # all training frames, and a part of the pool with the reference's labels
            temporary = workdir.fresh(data / ".train.tmp")
            shutil.copytree(data / "train", temporary / "train")
            take_part(data / "pool_reference", temporary / "pool_reference", number - TRAIN_FRAMES, TYPE_MAP)
            temporary.rename(target)
    for number in pools:
        take_part(data / "pool", data / f"pool-{number}", number, TYPE_MAP)


def shares(sizes: list[int], number: int) -> list[int]:
    """How many to take of each, equally many of those that have so many."""
    result = [0] * len(sizes)
    open_ones = list(range(len(sizes)))
    while open_ones and number:
        equal, rest = divmod(number, len(open_ones))
        for i, index in enumerate(open_ones):
            taken = min(equal + (i < rest), sizes[index] - result[index])
            result[index] += taken
            number -= taken
        open_ones = [index for index in open_ones if result[index] < sizes[index]]
    return result


def take_part(whole: Path, target: Path, number: int, type_map: list[str]) -> None:
    """A diverse part of the frames of a folder, equally many of each system that has so many, and all of the others."""
    if target.is_dir():
        return
    temporary = workdir.fresh(target.with_name(f".{target.name}.tmp"))
    paths = sorted(whole.iterdir())
    systems = [dpdata.LabeledSystem(str(path), fmt="deepmd/npy", type_map=type_map) for path in paths]
    numbers = shares([len(system) for system in systems], number)
    for path, system, share in zip(paths, systems, numbers, strict=True):
        if share:
            chosen = diversity.farthest_points(diversity.radial_features(system.data), share, 1)
            part = system.sub_system(np.sort(chosen))
            part.to("deepmd/npy", str(temporary / path.name), set_size=len(part))
    temporary.rename(target)


def prepare(root: Path, arm: Arm, size: Size) -> Path:
    """The arm's folder, with the shared beginning if it has one."""
    folder = root / arm.name
    if folder.is_dir():
        return folder
    temporary = workdir.fresh(root / f".{arm.name}.tmp")
    workdir.write_json(temporary / "param.json", parameters(arm, size))
    machine = (EXAMPLE / "machine.json").read_text()
    if arm.plain:  # the reference that labels what is explored is in the section that DP-GEN does not see
        machine = machine.replace("param.json", "reference.json")
        workdir.write_json(temporary / "reference.json", parameters(replace(arm, plain=False), size))
    workdir.write_text(temporary / "machine.json", machine)
    for name in (arm.train, next(iter(arm.tests.values()))):
        workdir.link(root / "data" / name, temporary / name)
    workdir.link(EXAMPLE / "structures", temporary / "structures")
    workdir.link(tuner("chgnet"), temporary / tuner("chgnet").name)
    if not arm.plain:
        first = temporary / workdir.Iteration(0).root
        (first / "00.ipip/seed").mkdir(parents=True)
        workdir.mark_done(first / "00.ipip/seed")  # the teacher's MD is part of the data
        if arm.after:
            share(root / arm.after, temporary, arm.stage)
        if not (first / "00.ipip/pool").exists():
            pool = first / "00.ipip/pool"
            for path in (root / "data" / arm.first_pool).iterdir():
                system = dpdata.LabeledSystem(str(path), fmt="deepmd/npy", type_map=TYPE_MAP)
                provenance.mark(system, provenance.LabelSource.TEACHER, 0)
                systems.write(system, pool / path.name)
        known = systems.find([temporary / arm.train, first / "00.ipip/pool"])
        bounds = gate.measured(block.data for path in known for block in labelled.read(path, TYPE_MAP))
        workdir.write_json(temporary / workdir.GATE, bounds.limits())
    temporary.rename(folder)
    return folder


def share(source: Path, target: Path, stage: str) -> None:
    """Copy the finished steps of another arm's iteration 0."""
    if pretraining_inputs(source) != pretraining_inputs(target):
        raise SystemExit(f"{target.name} does not pretrain as {source.name} does, so it cannot start from there")
    folders, records = STAGES[stage]
    first = workdir.Iteration(0).root
    for name in folders:
        shutil.copytree(source / first / name, target / first / name, symlinks=True, dirs_exist_ok=True)
    for name in (workdir.Iteration(0).stop, workdir.STARTED, workdir.RECORD_COPY):  # the run's own
        (target / name).unlink(missing_ok=True)
    if stage == "iteration":
        shutil.copytree(source / "iter.000001/00.ipip/pool", target / "iter.000001/00.ipip/pool")
    if records:
        workdir.write_text(target / "record.dpgen", "".join(f"0 {task}\n" for task in range(records)))


def run(folder: Path, arm: Arm) -> None:
    """``dpgen run``, and the errors of every iteration's models on the test sets."""
    finished = folder / "finished.json"
    if finished.is_file():
        return
    start = time.monotonic()
    with (folder / "dpgen.out").open("a") as log:
        if subprocess.run(DPGEN, cwd=folder, stdout=log, stderr=subprocess.STDOUT).returncode:
            raise SystemExit(f"{' '.join(DPGEN)} failed in {folder}: see dpgen.out there")
    seconds = time.monotonic() - start
    for train in sorted(folder.glob("iter.*/00.train")):
        models = [str(path) for path in sorted(train.glob("graph.*"))]
        if models:
            evaluate(folder, train.parent.name, {"type": "dp", "models": models}, arm)
    tuned = folder / workdir.Iteration(0).teacher / "task" / TUNED
    if tuned.is_file():
        teacher = tuned_teacher("chgnet", tuned)
        evaluate(folder.with_name(TUNED_TEACHER.name), "iter.000000", teacher, TUNED_TEACHER)
    workdir.write_json(finished, {"seconds": round(seconds)})


def evaluate(folder: Path, iteration: str, labeler: dict[str, Any], arm: Arm) -> None:
    """Errors of models, or of the teacher, on the arm's test sets."""
    for column, name in arm.tests.items():
        target = folder / "errors" / f"{iteration}.{column}.json"
        compared(target, [folder.parent / "data" / name], labeler, TYPE_MAP)


def compared(target: Path, systems: list[Path], labeler: dict[str, Any], type_map: list[str]) -> dict[str, Any]:
    """The errors of a labeler, written to a file unless they stand there."""
    if not target.is_file():
        predictions = target.with_suffix(".npz")
        predict.predict(systems, predictions, labeler, type_map)
        workdir.write_json(target, compare(systems, type_map, predictions))
    return json.loads(target.read_text())


def steps(param: dict[str, Any], iteration: int) -> tuple[int, int]:
    """Training steps of one student up to an iteration: pretraining, fine-tuning."""
    finetuning = param["default_training_param"]["training"]["numb_steps"] * (iteration + 1)
    return (param["ipip"]["pretrain"]["numb_steps"] * (iteration + 1) if "ipip" in param else 0), finetuning


def explored(folder: Path, iteration: int) -> int:
    """How many explored frames the reference had labelled before an iteration."""
    folders = [path for i in range(iteration) for path in (folder / workdir.Iteration(i).fp).glob("data.*")]
    return sum(labelled.check_frames(system) for system in systems.find(folders))


def rows(root: Path, all_arms: list[Arm]) -> list[dict[str, Any]]:
    """One row per finished arm and iteration."""
    result = []
    baselines = [Arm(path.stem, "baseline", 0) for path in sorted((root / BASELINES).glob("*.json"))]
    for arm in [*TEACHERS, TUNED_TEACHER, *baselines, *all_arms]:
        parameter_file = root / arm.name / "param.json"
        for path in sorted((root / arm.name / "errors").glob("iter.*.held_out.json")):
            iteration = int(path.name.split(".")[1])
            row: dict[str, Any] = {key: getattr(arm, key) for key in ("name", "group", "labels", "reference", "seed")}
            row["labels"] += explored(root / arm.name, iteration)
            counted = steps(json.loads(parameter_file.read_text()), iteration) if parameter_file.is_file() else (0, 0)
            row["iteration"], row["pretraining_steps"], row["finetuning_steps"] = iteration, *counted
            files = {column: path.with_name(path.name.replace("held_out", column)) for column in COLUMNS}
            found = {name: json.loads(file.read_text()) if file.is_file() else None for name, file in files.items()}
            for column, errors in found.items():
                students = [student["force_rmse"] for student in errors["students"]] if errors else []
                row[f"{column}_student"] = round(float(np.mean(students)), 4) if errors else ""
                row[f"{column}_spread"] = round(float(np.ptp(students)), 4) if errors else ""
                row[f"{column}_ensemble"] = round(errors["ensemble"]["force_rmse"], 4) if errors else ""
            for column, errors in found.items():
                for kind in ("raw", "aligned"):
                    error = errors["ensemble"].get(f"energy_rmse_per_atom_{kind}") if errors else None
                    row[f"{column}_energy_{kind}"] = "" if error is None else round(error, 4)
            result.append(row)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    size = parser.add_mutually_exclusive_group(required=True)
    for name in SIZES:
        size.add_argument(f"--{name}", dest="size", action="store_const", const=SIZES[name])
    parser.add_argument("--only", nargs="*", metavar="ARM", help="run these arms, if any, and those they start from")
    parser.add_argument("--baselines", nargs="+", type=Path, default=[], metavar="LABELER", help="test these, too")
    arguments = parser.parse_args()
    size = arguments.size
    all_arms = arms(size)
    wanted = {arm.name for arm in all_arms} if arguments.only is None else set(arguments.only)
    unknown = wanted - {arm.name for arm in all_arms}
    if unknown:
        parser.error(f"no arm {', '.join(sorted(unknown))}; there are {', '.join(arm.name for arm in all_arms)}")
    root = (arguments.folder / size.name).resolve()
    root.mkdir(parents=True, exist_ok=True)
    numbers = {arm.labels for arm in all_arms if arm.reference == "GFN1"}
    unpack(root, sorted(numbers), {arm.pool for arm in all_arms if arm.pool})
    for arm in TEACHERS:
        evaluate(root / arm.name, "iter.000000", labeler("teacher"), arm)
    for path in arguments.baselines:
        config = inputs.load(path)
        evaluate(root / path.stem, "iter.000000", config, Arm(path.stem, "baseline", 0))
        workdir.write_json(root / BASELINES / path.name, config)
    workdir.write_csv(root / "results.csv", rows(root, all_arms))
    for arm in reversed(all_arms):
        if arm.name in wanted and arm.after:
            wanted.add(arm.after)
    for arm in all_arms:
        if arm.name not in wanted:
            continue
        print(f"{time.strftime('%H:%M:%S')} {arm.name}", flush=True)
        run(prepare(root, arm, size), arm)
        workdir.write_csv(root / "results.csv", rows(root, all_arms))
    report.write(root)


if __name__ == "__main__":
    main()
