# SPDX-License-Identifier: LGPL-3.0-or-later
"""Thousands of damaged inputs: each is valid after all, or refused in one line that names the key or the file."""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from deepmd.utils import argcheck
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipip_dp.checks import run_input as check
from ipip_dp.checks.estimate import estimate
from ipip_dp.config import inputs
from ipip_dp.config.params import Params, param_json_argument
from ipip_dp.data import labelled, systems
from ipip_dp.data.frames import joined
from ipip_dp.errors import IpipError
from ipip_dp.running import dispatch
from ipip_dp.steps import pretrain, seed_pool
from ipip_dp.steps.context import Context
from ipip_dp.workdir import Iteration
from tests.conftest import EXAMPLES, ROOT, Run, filled_in
from tests.faults.mutations import mutate_data, mutate_json, mutate_text

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject

MACHINES = [*sorted((ROOT / "machines").glob("*.json")), *sorted(EXAMPLES.glob("*/machine.json"))]
# Seconds on one core for every hundred: 2 JSON, 2 files, 5 data.
SAMPLE, FULL = 80, 4000


def many(count: int) -> Any:
    return settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


@pytest.fixture(autouse=True, scope="module")
def one_schema():
    """DeePMD-kit makes its schema anew for every input that it checks, which takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argcheck, "gen_args", functools.cache(argcheck.gen_args))
        yield


@pytest.fixture(scope="module", params=["mo_s_quick", "mo_s_o"])
def example(request, tmp_path_factory):
    """A run folder with a valid input; mo_s_o has no data before ``ipip init``."""
    folder = tmp_path_factory.mktemp("mutations") / "run"
    shutil.copytree(EXAMPLES / request.param, folder)
    before = os.getcwd()
    os.chdir(folder)
    yield Run(folder)
    os.chdir(before)


def outcome(folder: Path, with_data: bool) -> list[str]:
    """What `ipip check` finds in the input of a folder, which is left as it is."""
    before = state(folder)
    try:
        jdata, mdata = inputs.load_input(Path("param.json"), Path("machine.json"))
        lines = check.problems(jdata, mdata, "param.json", "machine.json", with_data)
    except IpipError as error:
        lines = str(error).split("\n")
    assert state(folder) == before
    for line in lines:
        assert line.isprintable() and "Traceback" not in line
        assert re.match(r"(param|machine)\.json: ", line), line
        line.encode()
    return lines


def state(folder: Path) -> list[tuple[str, int]]:
    logs = ("dpgen.log", "dpdispatcher.log")  # made when DP-GEN and dpdispatcher are imported
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*") if path.name not in logs)


def dry_run(folder: Path) -> None:
    """Prepare every step of an accepted input, as DP-GEN and IPIP do before they submit anything."""
    from inspect import unwrap

    from dpgen.dispatcher.Dispatcher import make_submission
    from dpgen.generator import run
    from dpgen.generator.arginfo import run_jdata_arginfo
    from dpgen.remote.decide_machine import convert_mdata
    from dpgen.util import normalize

    jdata, mdata = json.loads(Path("param.json").read_text()), json.loads(Path("machine.json").read_text())
    argument = param_json_argument()
    stock = {key: value for key, value in copy.deepcopy(jdata).items() if key != "ipip"}
    normalize(unwrap(run_jdata_arginfo)(), stock)
    jdata = normalize(argument, jdata)
    params = Params.from_jdata(jdata)
    run.update_mass_map(jdata)
    mdata = convert_mdata(mdata)
    context = Context(Iteration(0), params, jdata, mdata)
    estimate(jdata, params)
    work = folder.parent / "dry"
    shutil.rmtree(work, ignore_errors=True)
    for name in sorted(os.listdir(folder)):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).symlink_to(folder / name)
    os.chdir(work)
    try:
        md = params.teacher_md
        tasks = seed_pool.prepare_md(context, context.iteration.seed_pool, md.temperatures, md.nsteps, md.interval)
        assert tasks
        for member in context.students:
            assert pretrain.training_input(context, member, ["../pool/a"])
        dispatch.workers(mdata)
        if all(os.path.isdir(os.path.join(jdata["init_data_prefix"], name)) for name in jdata["init_data_sys"]):
            unwrap(run.make_train)(0, copy.deepcopy(jdata), mdata)
        run._validate_dpa_training_config(jdata)
        for member in context.students:
            graph = context.iteration.train / f"graph.{member:03d}{run._get_model_suffix(jdata)}"
            graph.parent.mkdir(parents=True, exist_ok=True)
            graph.write_text("")
        for index in range(min(2, len(jdata["model_devi_jobs"]))):
            assert unwrap(run.make_model_devi)(index, copy.deepcopy(jdata), mdata)
            assert list(Iteration(index).exploration.glob("task.*"))
        for section in ("ipip_pretrain", "ipip_label"):
            used = dispatch.section(mdata, section)
            if "Context" in used["machine"]["context_type"] and used["machine"]["batch_type"] == "Shell":
                make_submission(
                    used["machine"], used["resources"], commands=["true"], work_path=str(context.iteration.seed_pool),
                    run_tasks=tasks, group_size=1, forward_common_files=[], forward_files=[], backward_files=[],
                    outlog="log", errlog="log",
                ).generate_jobs()  # fmt: skip
    finally:
        os.chdir(folder)


def write(run: Run, param: Any, machine: Any) -> None:
    for name, value in (("param.json", param), ("machine.json", machine)):
        path = run.folder / name
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value, indent=1))


def mutate_values(run: Run, count: int) -> Counter:
    """Damage param.json and machine.json ``count`` times, one to three places at once."""
    original = run.param
    machines = [filled_in(path) for path in MACHINES]
    with_data = (run.folder / "data").is_dir()
    outcomes: Counter = Counter()
    later: list[str] = []

    @many(count)
    @given(st.data())
    def mutated(draw: DataObject) -> None:
        param, machine = copy.deepcopy(original), copy.deepcopy(machines[draw.draw(st.integers(0, len(machines) - 1))])
        done = []
        for _ in range(draw.draw(st.sampled_from([1, 1, 1, 2, 3]), "mutations")):
            # the ipip section, one in three; machine.json, one in four
            value = (param, param, param.get("ipip", param), machine)[draw.draw(st.integers(0, 3), "where")]
            if isinstance(value, (dict, list)) and value:
                done.append(mutate_json(draw, value))
        write(run, param, machine)
        lines = outcome(run.folder, with_data)
        outcomes["refused" if lines else "accepted"] += 1
        if not lines:
            try:
                dry_run(run.folder)
            except Exception as error:  # what a user would see as a traceback after days
                later.append(f"{done}: {error!r}")

    mutated()
    write(run, original, machines[0])
    assert not later, f"{len(later)} inputs were accepted, but fail later:\n" + "\n".join(later)
    return outcomes


def mutate_files(run: Run, count: int) -> Counter:
    """Damage param.json and machine.json as files ``count`` times."""
    param, machine = run.param, run.machine
    texts = [json.dumps(value, indent=1) for value in (param, machine)]
    outcomes: Counter = Counter()

    @many(count)
    @given(st.data())
    def mutated(draw: DataObject) -> None:
        write(run, *texts)
        mutate_text(draw, run.folder / draw.draw(st.sampled_from(["param.json", "machine.json"]), "file"))
        lines = outcome(run.folder, with_data=False)
        outcomes["refused" if lines else "accepted"] += 1

    mutated()
    write(run, param, machine)
    return outcomes


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data_mutations") / "run"
    shutil.copytree(EXAMPLES / "mo_s_quick", folder)
    before = os.getcwd()
    os.chdir(folder)
    yield Run(folder)
    os.chdir(before)


def restore_data(run: Run) -> None:
    shutil.rmtree(run.folder / "data")
    shutil.copytree(EXAMPLES / "mo_s_quick/data", run.folder / "data")


def mutate_folders(run: Run, count: int) -> Counter:
    """Damage the training or the held-out data ``count`` times."""
    type_map = run.param["type_map"]
    outcomes: Counter = Counter()

    @many(count)
    @given(st.data())
    def mutated(draw: DataObject) -> None:
        restore_data(run)
        folder = run.folder / "data" / draw.draw(st.sampled_from(["train", "held_out"]), "folder")
        done = mutate_data(draw, folder)
        lines = outcome(run.folder, with_data=True)
        outcomes["refused" if lines else "accepted"] += 1
        if not lines:  # then it can be read to the end
            for path in systems.find([folder]):
                system = joined(list(labelled.read(path, type_map)))
                assert len(system) > 0 and np.isfinite(system["forces"]).all(), done
                assert system["coords"].shape == system["forces"].shape, done

    mutated()
    restore_data(run)
    return outcomes


@pytest.mark.slow
@pytest.mark.fault("param.json and machine.json damaged in one to three places", "valid, or one line per problem")
def test_damaged_values(example):
    outcomes = mutate_values(example, SAMPLE)
    assert outcomes["refused"] > SAMPLE / 4 and outcomes["accepted"] > SAMPLE / 20, outcomes


@pytest.mark.fault("param.json or machine.json damaged as files", "valid, or one line that names the file")
def test_damaged_files(example):
    outcomes = mutate_files(example, 300)
    assert outcomes["refused"] > 100, outcomes


@pytest.mark.slow
@pytest.mark.fault("files of the data folders damaged", "readable, or one line that names the file")
def test_damaged_data(quick):
    outcomes = mutate_folders(quick, SAMPLE)
    assert outcomes["refused"] > SAMPLE / 4 and outcomes["accepted"] > SAMPLE / 20, outcomes


def refusals(run: Run, count: int) -> None:
    """Start `dpgen run` on damaged inputs that `ipip check` refuses."""
    originals = run.param, run.machine
    done = 0

    @many(count)
    @given(st.data())
    def refused(draw: DataObject) -> None:
        nonlocal done
        write(run, *originals)
        if draw.draw(st.booleans(), "as a file"):
            mutate_text(draw, run.folder / draw.draw(st.sampled_from(["param.json", "machine.json"]), "file"))
        else:
            param, machine = copy.deepcopy(originals)
            mutate_json(draw, draw.draw(st.sampled_from([param["ipip"], machine]), "where"))
            write(run, param, machine)
        raw = run.folder / "param.json"
        of_ipip = not raw.is_file() or b'"ipip": ' in raw.read_bytes()
        if not outcome(run.folder, with_data=True) or not of_ipip:
            return
        ended = run("dpgen", "run", "param.json", "machine.json", timeout=60)
        done += 1
        assert ended.returncode == 1, ended.stdout
        assert "Traceback" not in ended.stdout, ended.stdout
        assert re.search(r"ipip: (param|machine)\.json: ", ended.stdout), ended.stdout
        assert not list(run.folder.glob("iter.*")) and not (run.folder / "record.dpgen").exists()

    refused()
    write(run, *originals)
    assert done


@pytest.mark.slow
@pytest.mark.fault("`dpgen run` of a damaged input", "one line, status 1, no folder of an iteration")
def test_dpgen_run_refuses(quick):
    refusals(quick, 5)


def test_a_hundred_problems_and_100_000_frames_in_5_seconds(quick):
    """Everything wrong is told at once, and soon, also beside a large data folder."""
    system = quick.folder / "data/train/Mo9S18/set.000"
    originals, n_frames = quick.param, 100_000
    rng = np.random.default_rng(1)
    for path in system.glob("*.npy"):
        rows = np.load(path)
        np.save(path, rows[rng.integers(len(rows), size=n_frames)])
    coords = np.load(system / "coord.npy")
    np.save(system / "coord.npy", coords + 1e-3 * rng.standard_normal(coords.shape))
    forces = np.load(system / "force.npy")
    forces[-1] = np.nan
    np.save(system / "force.npy", forces)
    param, machine = copy.deepcopy(originals), quick.machine
    param["ipip"]["pool"] = {f"wrong_{number}": number for number in range(90)}
    param["ipip"]["teacher"]["elements"] = ["Mo"]
    param["ipip"]["held_out"] = ["nowhere"]
    param["model_devi_jobs"][0].update(temps=[-1], ensemble="npt", press=[])
    param["sys_configs"] = [["nothing.vasp"]]
    del param["numb_models"]
    machine["train"]["resources"]["group_size"] = "1"
    machine["fp"]["command"] = ""
    write(quick, param, machine)
    cpu = time.process_time()
    lines = outcome(quick.folder, with_data=True)
    assert time.process_time() - cpu < 5
    write(quick, originals, machine)
    restore_data(quick)
    keys = {line.split(": ")[1] for line in lines}
    assert len([key for key in keys if key.startswith("ipip.pool.wrong_")]) == 90
    assert keys >= {
        "train.resources.group_size", "fp.command", "numb_models", "ipip.held_out", "init_data_sys",
        "model_devi_jobs[0].temps", "model_devi_jobs[0].press", "sys_configs[0][0]",
    }  # fmt: skip


@pytest.mark.full
@pytest.mark.slow
def test_dpgen_run_refuses_in_bulk(quick):
    refusals(quick, 40)


@pytest.mark.full
@pytest.mark.slow
def test_damaged_values_in_bulk(example):
    mutate_values(example, FULL)


@pytest.mark.full
@pytest.mark.slow
def test_damaged_data_in_bulk(quick):
    mutate_folders(quick, FULL)
