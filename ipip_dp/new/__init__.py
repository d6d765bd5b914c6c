# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``ipip new`` makes: the folder of a run, from structures and a few choices."""
