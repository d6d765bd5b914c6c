# SPDX-License-Identifier: LGPL-3.0-or-later
"""What is put around DP-GEN's stages: they are called as DP-GEN's are, and what cannot be read is one line."""

from __future__ import annotations

import json
import sys

import pytest


def test_stages_take_keyword_arguments(quick):
    param = quick.param
    del param["ipip"]
    (quick.folder / "plain.json").write_text(json.dumps(param))
    code = (
        "import dpgen.generator.run as run, json\n"
        "from dpgen.generator.arginfo import run_jdata_arginfo\n"
        "run_jdata_arginfo()\n"
        "assert hasattr(run.post_model_devi, '__wrapped__')\n"
        "run.post_model_devi(iter_index=0, jdata=json.load(open('plain.json')), mdata={})\n"
        "run.post_model_devi(0, jdata={}, mdata={})\n"
        "print('WELL')\n"
    )
    done = quick(sys.executable, "-c", code)
    assert "WELL" in done.stdout, done.stdout[-2000:]


def test_stages_are_wrapped_once_and_plain_arguments_reach_them_as_they_are(quick):
    code = (
        "import dpgen.generator.run as run\n"
        "seen = []\n"
        "run.make_fp = lambda *arguments, **options: seen.append((arguments, options))\n"
        "from dpgen.generator.arginfo import run_jdata_arginfo\n"
        "run_jdata_arginfo()\n"
        "first = run.make_fp\n"
        "run_jdata_arginfo()\n"
        "assert run.make_fp is first\n"
        "run.make_fp(7, {'type_map': []}, mdata=None)\n"
        "assert seen == [((7, {'type_map': []}), {'mdata': None})], seen\n"
        "print('WELL')\n"
    )
    done = quick(sys.executable, "-c", code)
    assert "WELL" in done.stdout, done.stdout[-2000:]


def test_cp2k_gets_the_keys_that_dpgen_reads_and_forbids(quick):
    param = quick.param
    del param["fp_params"]
    kinds = {"_": ["Mo", "S"], "POTENTIAL": ["GTH-PBE"] * 2, "BASIS_SET": ["DZVP-MOLOPT-SR-GTH"] * 2}
    quick.param = {**param, "fp_style": "cp2k", "user_fp_params": {"FORCE_EVAL": {"SUBSYS": {"KIND": kinds}}}}
    task = quick.folder / "iter.000000/02.fp/task.000.000000"
    task.mkdir(parents=True)
    (task / "POSCAR").write_bytes((quick.folder / "structures/mos2_mono27.vasp").read_bytes())
    code = (
        "import dpgen.generator.run as run, json\n"
        "from dpgen.generator.arginfo import run_jdata_arginfo\n"
        "argument = run_jdata_arginfo()\n"
        "jdata = run.normalize(argument, json.load(open('param.json')))\n"
        "run.make_fp_calculation(0, jdata, {})\n"
    )
    done = quick(sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "&KIND Mo" in (task / "input.inp").read_text()


@pytest.mark.parametrize("name", ["param.json", "machine.json"])
def test_an_unreadable_input_of_an_ipip_run_is_one_line(quick, name):
    path = quick.folder / name
    path.write_text(path.read_text()[:-2])
    done = quick("dpgen", "run", "param.json", "machine.json")
    assert done.returncode == 1
    assert f"ipip: {name}: not valid JSON at line " in done.stdout
    assert "Traceback" not in done.stdout


def test_a_missing_machine_json_of_an_ipip_run_is_one_line(quick):
    done = quick("dpgen", "run", "param.json", "nowhere.json")
    assert done.returncode == 1
    assert "ipip: nowhere.json: does not exist" in done.stdout
    assert "Traceback" not in done.stdout


def test_an_unreadable_input_without_an_ipip_section_is_left_to_dpgen(quick):
    param = quick.param
    del param["ipip"]
    quick.param = param
    done = quick("dpgen", "run", "param.json", "nowhere.json")
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stdout and "ipip: " not in done.stdout
