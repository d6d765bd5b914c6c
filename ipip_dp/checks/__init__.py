# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``ipip check`` finds beyond the schema, one module for each part of the input.

Functions take the normalised param.json and yield one line per problem, the key path first.
:mod:`ipip_dp.checks.run_input` puts all together.
"""
