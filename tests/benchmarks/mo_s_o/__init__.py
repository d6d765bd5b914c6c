"""The study of IPIP on Mo-S-O, and what its final model is good for."""

from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples/mo_s_o"
TYPE_MAP = ["Mo", "S", "O"]
