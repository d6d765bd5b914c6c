# SPDX-License-Identifier: LGPL-3.0-or-later
"""Frames per second of teachers, one by one through ipip's labeler and batched by the teacher's own library.

    python tests/benchmarks/batching.py [--device cpu] [--frames 16] [--batch 8]

Frames are MoS2 layers of 27 and 108 atoms, randomly displaced; the two ways take turns, best of three each. Forces of
both are compared.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import time
from pathlib import Path
from typing import TYPE_CHECKING

import dpdata
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

STRUCTURE = Path(__file__).parents[2] / "examples/mo_s_quick/structures/mos2_mono27.vasp"
TYPE_MAP = ["Mo", "S"]


def frames(number: int, repeat: int) -> dpdata.System:
    """Displaced copies of the layer, repeated in its plane."""
    system = dpdata.System(str(STRUCTURE), fmt="vasp/poscar", type_map=TYPE_MAP)
    atoms = system.to("ase/structure")[0].repeat((repeat, repeat, 1))
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(number):
        moved = atoms.copy()
        moved.positions += 0.05 * rng.standard_normal(moved.positions.shape)
        parts.append(dpdata.System(moved, fmt="ase/structure", type_map=TYPE_MAP))
    for part in parts[1:]:
        parts[0].append(part)
    return parts[0]


def one_by_one(calculator: str, device: str) -> Callable[[dpdata.System], np.ndarray]:
    """What `ipip label` does."""
    from ipip_dp.labelers import make_labeler

    name = "use_device" if calculator.startswith("chgnet") else "device"
    labeler = make_labeler({"type": "ase", "calculator": calculator, "kwargs": {name: device}}, TYPE_MAP)
    return lambda system: np.array([labeler.label(system[i].data)["forces"] for i in range(len(system))]).squeeze()


def chgnet_batched(device: str, batch: int) -> Callable[[dpdata.System], np.ndarray]:
    """CHGNet.predict_structure of a list."""
    from chgnet.model import CHGNet

    model = CHGNet.load(use_device=device, verbose=False)

    def forces(system: dpdata.System) -> np.ndarray:
        structures = system.to("pymatgen/structure")
        return np.array([found["f"] for found in model.predict_structure(structures, task="efs", batch_size=batch)])

    return forces


def sevennet_batched(device: str, batch: int) -> Callable[[dpdata.System], np.ndarray]:
    """SevenNet's model on batches of graphs."""
    import torch
    from sevenn.atom_graph_data import AtomGraphData
    from sevenn.calculator import SevenNetCalculator
    from sevenn.train.dataload import unlabeled_atoms_to_graph
    from torch_geometric.loader import DataLoader

    calculator = SevenNetCalculator("7net-0", device=device)

    def forces(system: dpdata.System) -> np.ndarray:
        found = []
        graphs = []
        for atoms in system.to("ase/structure"):
            graph = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, calculator.cutoff))
            graphs.append(graph)
        calculator.model.set_is_batch_data(True)
        for part in DataLoader(graphs, batch_size=batch):
            part = part.to(device)
            part["x"] = torch.tensor(
                [calculator.type_map[z.item()] for z in part["atomic_numbers"]], dtype=torch.int64, device=device
            )
            out = calculator.model(part)
            found.append(out["inferred_force"].detach().cpu().numpy().reshape(part.num_graphs, -1, 3))
        calculator.model.set_is_batch_data(False)
        return np.concatenate(found)

    return forces


TEACHERS = {
    "chgnet": ("chgnet.model.dynamics:CHGNetCalculator", chgnet_batched),
    "sevenn": ("sevenn.calculator:SevenNetCalculator", sevennet_batched),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    for package, (calculator, batched) in TEACHERS.items():
        ways = {
            "one by one": one_by_one(calculator, arguments.device),
            f"batches of {arguments.batch}": batched(arguments.device, arguments.batch),
        }
        for repeat in (1, 2):
            system = frames(arguments.frames, repeat)
            best = dict.fromkeys(ways, np.inf)
            forces = {}
            for _ in range(3):
                for name, way in ways.items():
                    start = time.perf_counter()
                    forces[name] = way(system)
                    best[name] = min(best[name], time.perf_counter() - start)
            speeds = [f"{name} {len(system) / seconds:.2f} frames/s" for name, seconds in best.items()]
            one, other = forces.values()
            difference = np.abs(one - other).max() / np.abs(one).max()
            version = importlib.metadata.version(package)
            print(
                f"{package} {version}, {arguments.device}, {system.get_natoms()} atoms: {', '.join(speeds)}; "
                f"largest difference of forces over the largest force {difference:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
