# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reference codes that DP-GEN runs: its keys for each, PBE where the code has a choice, and the command.

Cutoffs, k points and smearing are those people begin with, to be converged for the system. Whatever nobody can
know here, pseudopotentials above all, is a name that ``ipip check`` asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INCAR = """PREC = Accurate
GGA = PE
ENCUT = 520
EDIFF = 1E-6
NELM = 120
ISMEAR = 0
SIGMA = 0.05
KSPACING = 0.25
KGAMMA = .TRUE.
ISYM = 0
IBRION = -1
NSW = 0
ISIF = 2
LREAL = Auto
LWAVE = .FALSE.
LCHARG = .FALSE.
"""


@dataclass(frozen=True)
class Code:
    """A reference code.

    Parameters
    ----------
    command : str
        How it is called, with ``{cores}``.
    keys : callable
        Keys of param.json, of type_map and the number of cores.
    files : dict of str to str
        Files of the run folder, and what is in them.
    """

    command: str
    keys: Callable[[Sequence[str], int], dict[str, Any]]
    files: dict[str, str] = field(default_factory=dict)


def _vasp(elements: Sequence[str], cores: int) -> dict[str, Any]:
    return {
        "fp_pp_path": "potcars",
        "fp_pp_files": [f"POTCAR.{element}" for element in elements],
        "fp_incar": "INCAR.scf",
    }


def _cp2k(elements: Sequence[str], cores: int) -> dict[str, Any]:
    kinds = {
        "_": list(elements),
        "POTENTIAL": ["GTH-PBE"] * len(elements),
        "BASIS_SET": ["DZVP-MOLOPT-SR-GTH"] * len(elements),
    }
    dft = {
        "BASIS_SET_FILE_NAME": "BASIS_MOLOPT",  # CP2K finds its own
        "POTENTIAL_FILE_NAME": "GTH_POTENTIALS",
        "MGRID": {"CUTOFF": 400, "REL_CUTOFF": 50},
        "SCF": {
            "EPS_SCF": "1.0E-6",
            "MAX_SCF": 100,
            "ADDED_MOS": 30,
            "DIAGONALIZATION": {"_": "ON"},
            "MIXING": {"METHOD": "BROYDEN_MIXING", "ALPHA": 0.2, "NBUFFER": 8},
            "SMEAR": {"_": "ON", "METHOD": "FERMI_DIRAC", "ELECTRONIC_TEMPERATURE": "[K] 1000"},
        },
    }
    return {"user_fp_params": {"FORCE_EVAL": {"DFT": dft, "SUBSYS": {"KIND": kinds}}}}


def _abacus(elements: Sequence[str], cores: int) -> dict[str, Any]:
    return {
        "fp_pp_path": "pseudopotentials",
        "fp_pp_files": [f"{element}.upf" for element in elements],
        "user_fp_params": {
            "basis_type": "pw",
            "dft_functional": "pbe",
            "ecutwfc": 100,
            "scf_thr": 1e-7,
            "scf_nmax": 100,
            "kspacing": 0.1,
            "smearing_method": "gauss",
            "smearing_sigma": 0.002,
            "mixing_type": "broyden",
            "mixing_beta": 0.4,
            "symmetry": 0,
            "cal_force": 1,
            "cal_stress": 1,
        },
    }


def _pwscf(elements: Sequence[str], cores: int) -> dict[str, Any]:
    # Not fp_params, to which DP-GEN adds the dispersion correction of Tkatchenko and Scheffler.
    control = {
        "calculation": "scf",
        "restart_mode": "from_scratch",
        "outdir": "./OUT",
        "disk_io": "none",
        "tprnfor": True,
        "tstress": True,
    }
    system = {
        "ecutwfc": 60,
        "ecutrho": 480,
        "occupations": "smearing",
        "smearing": "gaussian",
        "degauss": 0.005,
        "nosym": True,
    }
    return {
        "fp_pp_path": "pseudopotentials",
        "fp_pp_files": [f"{element}.upf" for element in elements],
        "user_fp_params": {
            "control": control,
            "system": system,
            "electrons": {"conv_thr": 1e-8, "electron_maxstep": 100},
            "kspacing": 0.25,
        },
    }


def _gaussian(elements: Sequence[str], cores: int) -> dict[str, Any]:
    return {
        "model_devi_nopbc": True,  # Gaussian knows no cell
        "fp_params": {"keywords": "force b3lyp/6-31g**", "multiplicity": "auto", "nproc": cores},
    }


def _custom(elements: Sequence[str], cores: int) -> dict[str, Any]:
    return {
        "fp_params": {
            "input_fmt": "vasp/poscar",
            "input_fn": "POSCAR",
            "output_fmt": "YOUR-DPDATA-FORMAT",
            "output_fn": "YOUR-OUTPUT-FILE",
        }
    }


CODES = {
    "vasp": Code("mpirun -n {cores} vasp_std", _vasp, {"INCAR.scf": INCAR}),
    "cp2k": Code("mpirun -n {cores} cp2k.psmp -i input.inp", _cp2k),
    "abacus": Code("mpirun -n {cores} abacus", _abacus),
    "pwscf": Code("mpirun -n {cores} pw.x -in input", _pwscf),
    "gaussian": Code("g16 < input", _gaussian),
    "custom": Code("YOUR-SCRIPT", _custom),
}
OPEN = ("gaussian",)  # of molecules without a cell
