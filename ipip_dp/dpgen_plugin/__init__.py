# SPDX-License-Identifier: LGPL-3.0-or-later
"""The only place that patches DP-GEN: found through dpdata, installed when a run starts, absent from plain runs."""
