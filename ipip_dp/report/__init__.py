# SPDX-License-Identifier: LGPL-3.0-or-later
"""A run as one page of HTML, and its pictures as files: what is on disk, read by one module per topic, and drawn."""
