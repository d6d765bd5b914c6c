# SPDX-License-Identifier: LGPL-3.0-or-later
"""param.json: its ``ipip`` section, how JSON files are read and compared with a schema, what may change in a run."""
