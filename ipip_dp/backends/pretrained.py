# SPDX-License-Identifier: LGPL-3.0-or-later
"""Files of pre-trained models, by path or by their names in DeePMD-kit's registry; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

from ipip_dp.errors import IpipError


def find_model(model: str) -> Path:
    """The file of a model.

    Parameters
    ----------
    model : str
        A path, or a name in the registry of pre-trained models (``deepmd.pretrained.registry``), which
        ``dp pretrained download`` puts into DeePMD-kit's cache.

    Raises
    ------
    IpipError
        If a model of the registry is not in the cache of this machine.
    """
    if Path(model).is_file():
        return Path(model)
    try:
        from deepmd.pretrained.download import DEFAULT_CACHE_DIR
        from deepmd.pretrained.registry import MODEL_REGISTRY
    except ImportError:  # no DeePMD-kit here, or one without a registry
        return Path(model)
    if model not in MODEL_REGISTRY:
        return Path(model)
    file = Path(DEFAULT_CACHE_DIR) / MODEL_REGISTRY[model]["filename"]
    if not file.is_file():
        raise IpipError(f"{model} is not on this machine ({file}); fetch it with: dp pretrained download {model}")
    return file
