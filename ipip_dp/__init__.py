# SPDX-License-Identifier: LGPL-3.0-or-later
"""Iterative pretraining for interatomic potentials (IPIP) inside stock DP-GEN."""

__version__ = "0.1.0"
