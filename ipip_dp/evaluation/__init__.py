# SPDX-License-Identifier: LGPL-3.0-or-later
"""How good a model is: errors, the learning curve, the stop test. Pure functions, but for the curve's file."""
