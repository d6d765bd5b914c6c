# SPDX-License-Identifier: LGPL-3.0-or-later
"""Fine-tune SevenNet-0 on the reference data of a run: a command for ``ipip.teacher_fine_tune``.

    python fine_tune_sevennet.py ../data.extxyz tuned.pth

Energies are moved first by what they differ for each element, by linear regression: another code has another zero.
Then SevenNet's own trainer learns energies, forces and stresses where there are any, with the loss of SevenNet-0, and
the last model is written.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import ase.io
import numpy as np
import sevenn
import torch
from sevenn.calculator import SevenNetCalculator
from sevenn.train.collate import AtomsToGraphCollater
from sevenn.train.trainer import Trainer
from sevenn.util import get_error_recorder, load_checkpoint
from torch.utils.data import DataLoader

MODEL = "7net-0"
EPOCHS = 25
BATCH = 4  # frames
LEARNING_RATE = 2e-3  # at first; it falls to a hundredth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="frames with energies and forces that ASE reads")
    parser.add_argument("model", type=Path, help="the model to write")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes over the data (default: %(default)s)")
    arguments = parser.parse_args()
    torch.manual_seed(1)
    frames = ase.io.read(arguments.data, ":")
    checkpoint = load_checkpoint(MODEL)
    model, config = checkpoint.build_model(), checkpoint.config

    energies = np.array([atoms.get_potential_energy() for atoms in frames])  # eV
    calculator = SevenNetCalculator(MODEL)
    predicted = np.array([calculator.get_potential_energy(atoms) for atoms in frames])
    places = config["_type_map"]  # atomic number -> place among the model's elements
    atoms_of = np.array([[np.sum(atoms.numbers == number) for number in places] for atoms in frames])
    moved, *_ = np.linalg.lstsq(atoms_of, energies - predicted, rcond=None)
    with torch.no_grad():
        zero = model._modules["rescale_atomic_energy"].shift  # one for each element, eV
        zero[list(places.values())] += torch.tensor(moved, dtype=zero.dtype)

    falls = {"scheduler": "exponentiallr", "scheduler_param": {"gamma": 0.01 ** (1 / arguments.epochs)}}
    config.update(optim_param={"lr": LEARNING_RATE}, is_ddp=False, device="auto", **falls)
    config["version"] = sevenn.__version__  # that of the weights, which were converted when read
    trainer = Trainer.from_config(model, config)
    graphs = AtomsToGraphCollater(frames, config["cutoff"])
    loader = DataLoader(frames, BATCH, shuffle=True, collate_fn=graphs)
    for epoch in range(arguments.epochs):
        recorder = get_error_recorder()
        trainer.run_one_epoch(loader, is_train=True, error_recorder=recorder)
        trainer.scheduler_step()
        print(epoch + 1, recorder.epoch_forward(), flush=True)  # its force RMSE is of vectors, not of components
    temporary = arguments.model.with_name(f".{arguments.model.name}.tmp")
    trainer.write_checkpoint(str(temporary), config=config, epoch=arguments.epochs)
    os.replace(temporary, arguments.model)


if __name__ == "__main__":
    main()
