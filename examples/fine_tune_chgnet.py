# SPDX-License-Identifier: LGPL-3.0-or-later
"""Fine-tune CHGNet on the reference data of a run: a command for ``ipip.teacher_fine_tune``.

    python fine_tune_chgnet.py ../data.extxyz tuned.pth

Energies are moved first by what they differ for each element, by linear regression: another code has another zero.
Then CHGNet's own trainer learns energies and forces, and the last model is written.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

import ase.io
import numpy as np
import torch
from chgnet.data.dataset import StructureData, collate_graphs
from chgnet.model import CHGNet
from chgnet.trainer import Trainer
from pymatgen.io.ase import AseAtomsAdaptor
from torch.utils.data import DataLoader

EPOCHS = 25
BATCH = 8  # frames
LEARNING_RATE = 1e-3  # at first; it falls to a hundredth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="frames with energies and forces that ASE reads")
    parser.add_argument("model", type=Path, help="the model to write")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes over the data (default: %(default)s)")
    arguments = parser.parse_args()
    random.seed(1)
    torch.manual_seed(1)
    frames = ase.io.read(arguments.data, ":")
    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in frames]
    energies = np.array([atoms.get_potential_energy() / len(atoms) for atoms in frames])  # eV/atom
    forces = [atoms.get_forces() for atoms in frames]

    model = CHGNet.load()
    predicted = [model.predict_structure(structure, task="e")["e"] for structure in structures]
    with torch.no_grad():
        weight = model.composition_model.fc.weight  # 1 x elements, eV
        shares = np.array([np.bincount(atoms.numbers - 1, minlength=weight.numel()) / len(atoms) for atoms in frames])
        shift, *_ = np.linalg.lstsq(shares, energies - np.array(predicted), rcond=None)
        weight += torch.tensor(shift, dtype=weight.dtype, device=weight.device)

    data = StructureData(structures, list(energies), forces)
    loader = DataLoader(data, BATCH, shuffle=True, collate_fn=collate_graphs)
    few = DataLoader(data, BATCH, sampler=range(min(BATCH, len(data))), collate_fn=collate_graphs)  # it wants some
    trainer = Trainer(model=model, epochs=arguments.epochs, learning_rate=LEARNING_RATE, print_freq=20)
    trainer.train(loader, few, save_dir="")  # no file for each epoch
    temporary = arguments.model.with_name(f".{arguments.model.name}.tmp")
    torch.save({"model": model.cpu().as_dict()}, temporary)
    os.replace(temporary, arguments.model)


if __name__ == "__main__":
    main()
