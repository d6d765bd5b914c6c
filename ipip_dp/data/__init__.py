# SPDX-License-Identifier: LGPL-3.0-or-later
"""Frames: on disk, in memory, in the pool."""
