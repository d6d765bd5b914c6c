# SPDX-License-Identifier: LGPL-3.0-or-later
"""TensorFlow checkpoints: ``<prefix>.index``, ``.data-...``, ``.meta``.

The graph is not needed to change weights: tensors are read by name, changed as
arrays and written with one ``SaveV2``; the graph (``.meta``) is copied. Importing
DeePMD-kit turns eager execution off for good, so that op runs in a session.
"""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from ipip_dp.backends.base import PREFIX, Backend, Checkpoint, Parameter, file_of
from ipip_dp.errors import IpipError
from ipip_dp.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

# FITTING_NET_PATTERN of deepmd/tf/env.py: one net per element has `_type_N`, one for
# all elements has not, and layers named by fitting_net.layer_name are `share_NAME`.
_FITTING = re.compile(r"(?P<layer>layer_\d+|final_layer|share_.+?)(_type_\d+)?/(?P<kind>matrix|bias|idt)")
_OPTIMISER = re.compile(r".+/Adam(_1)?|beta[12]_power|global_step")
_BIAS = "fitting_attr/t_bias_atom_e"
_OUT_BIAS = "model_attr/model_attr/t_out_bias"


class TensorFlowCheckpoint(Checkpoint):
    """A checkpoint of ``dp --tf train``."""

    suffix = ".index"

    def __init__(self, meta: Path, script: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        self._meta = meta
        self._optimizer = script.get("optimizer") or {}
        self._tensors = {name: value for name, value in tensors.items() if not _OPTIMISER.fullmatch(name)}
        self.model = script["model"]

    @classmethod
    def read(cls, prefix: Path) -> TensorFlowCheckpoint:
        """Read all tensors and the training script stored in the graph."""
        with quiet():
            import tensorflow as tf

        meta = file_of(prefix, ".meta")
        script = _training_script(meta)
        try:
            reader = tf.train.load_checkpoint(str(prefix))
            names = reader.get_variable_to_shape_map()
            tensors = {name: reader.get_tensor(name) for name in names}
        except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
            # The reader maps some status codes to builtin exceptions.
            raise IpipError(
                f"{prefix}.index, .data-*: not a readable TensorFlow checkpoint "
                f"({error}). Was the training or the copy interrupted?"
            ) from error
        checkpoint = cls(meta, script, tensors)
        checkpoint.require_energy_model(file_of(prefix, cls.suffix), has_net=bool(checkpoint.fitting))
        return checkpoint

    @property
    def fitting(self) -> dict[str, Parameter]:
        """Every tensor of the fitting net, by its name in the checkpoint."""
        return {
            name: Parameter(match["layer"], match["kind"])
            for name in self._tensors
            if (match := _FITTING.fullmatch(name))
        }

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a fitting tensor as float64."""
        return self._tensors[name].astype(np.float64)

    def __setitem__(self, name: str, value: np.ndarray) -> None:
        """Replace a fitting tensor, keeping its precision."""
        self._tensors[name] = value.astype(self._tensors[name].dtype)

    def fresh(self, seed: int) -> dict[str, np.ndarray]:
        """Draw from the normal distributions of ``one_layer`` (deepmd/tf/utils/network.py, 3.2.0).

        They hold for the final layer too: the energy bias is kept outside the net.
        """
        rng = np.random.default_rng(seed)
        draws = {}
        for name, parameter in sorted(self.fitting.items()):
            shape = self._tensors[name].shape
            normal = {"matrix": (0.0, 1.0 / np.sqrt(sum(shape))), "bias": (0.0, 1.0), "idt": (0.1, 0.001)}
            mean, spread = normal[parameter.kind]
            draws[name] = mean + spread * rng.standard_normal(shape)
        return draws

    @property
    def energy_bias(self) -> np.ndarray:
        """Sum of the bias of the fitting net and that of the model, eV."""
        bias = self._tensors[_BIAS].astype(np.float64)
        # Absent before DeePMD-kit 3.1; zero unless converted from another backend.
        out_bias = self._tensors.get(_OUT_BIAS)
        return bias if out_bias is None else bias + out_bias[0, :, 0]

    def shift_energy_bias(self, offsets: np.ndarray) -> None:
        """Add to the bias outside the trained net (``EnerFitting.build``)."""
        self[_BIAS] = self._tensors[_BIAS] + offsets

    def write(self, prefix: Path) -> list[Path]:
        """Write index, data, graph and the ``checkpoint`` file of ``dp freeze``."""
        import tensorflow as tf

        tensors = self._tensors | self._fresh_optimiser()
        names = sorted(tensors)
        with tf.Graph().as_default(), tf.device("/CPU:0"):
            save = tf.raw_ops.SaveV2(
                prefix=str(prefix),
                tensor_names=names,
                shape_and_slices=[""] * len(names),
                tensors=[tf.constant(tensors[name]) for name in names],
            )
            config = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
            try:
                with tf.compat.v1.Session(config=config) as session:
                    session.run(save)
            except tf.errors.OpError as error:
                raise IpipError(
                    f"{prefix}: cannot be written; is the disk full? ({error.message.splitlines()[0]})"
                ) from error
        meta = file_of(prefix, ".meta")
        shutil.copyfile(self._meta, meta)
        latest = prefix.with_name("checkpoint")
        latest.write_text(f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n')
        data = file_of(prefix, ".data-00000-of-00001")
        return [data, meta, file_of(prefix, self.suffix), latest]

    def _fresh_optimiser(self) -> dict[str, np.ndarray]:
        """Adam before its first step, with slots for every real tensor.

        A force-only training has none for the last bias, which has no gradient
        there, and the next training would refuse to start. Superfluous slots do
        no harm: a training reads those of its trainable variables.
        """
        fresh: dict[str, np.ndarray] = {
            "global_step": np.array(0, np.int64),
            "beta1_power": np.array(self._optimizer.get("adam_beta1", 0.9), np.float32),
            "beta2_power": np.array(self._optimizer.get("adam_beta2", 0.999), np.float32),
        }
        for name, value in self._tensors.items():
            if np.issubdtype(value.dtype, np.floating):
                fresh[f"{name}/Adam"] = fresh[f"{name}/Adam_1"] = np.zeros_like(value)
        return fresh

    @staticmethod
    def load_potential(prefix: Path) -> Any:
        """Freeze into ``<prefix>.pb`` and load that."""
        with quiet():
            from deepmd.infer import DeepPot
            from deepmd.tf.entrypoints.freeze import freeze
            from deepmd.tf.env import tf

        frozen = file_of(prefix, ".pb")
        with tf.Graph().as_default():
            freeze(checkpoint_folder=str(prefix), output=str(frozen))
        return DeepPot(str(frozen))


def _training_script(meta: Path) -> dict[str, Any]:
    """Return the normalised training input that DeePMD-kit keeps in the graph."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

    graph = MetaGraphDef()
    try:
        graph.ParseFromString(meta.read_bytes())
    except (OSError, DecodeError) as error:
        raise IpipError(
            f"{meta}: not a readable TensorFlow graph ({error}). Was the training or the copy interrupted?"
        ) from error
    for node in graph.graph_def.node:
        if node.name == "train_attr/training_script":
            script: dict[str, Any] = json.loads(node.attr["value"].tensor.string_val[0])
            return script
    raise IpipError(f"{meta}: no train_attr/training_script in the graph; not a DeePMD-kit training checkpoint.")


# DeePMD-kit links model.ckpt to its latest save file by file (deepmd/tf/train/trainer.py, save_checkpoint), so a kill
# may leave links to two saves. TensorFlow writes .meta last, and at once: the newest is of a whole save. Without any
# link there is nothing to go on from, whatever an earlier input has left.
_RELINK = (
    "for meta in $(ls model.ckpt.* > /dev/null 2>&1 && ls -t model.ckpt-*.meta 2> /dev/null | head -n 1); do "
    'for file in "${meta%.meta}".*; do ln -sf "$file" "model.ckpt${file#"${meta%.meta}"}"; done; done; '
)

TENSORFLOW = Backend(
    name="tensorflow",
    flag="",
    checkpoint_files=(f"{PREFIX}.meta", f"{PREFIX}.index", f"{PREFIX}.data-00000-of-00001"),
    model_formats=("pb",),
    checkpoint=TensorFlowCheckpoint,
    needs_neighbour_statistics=True,
    relink=_RELINK,
)
