# SPDX-License-Identifier: LGPL-3.0-or-later
"""The steps of one iteration: one module each, of the same shape.

A step is ``prepare`` (write task folders), ``run`` (dispatch a command that a user
can also type in the task folder) and ``collect`` (check and gather the results), called
in this order by its function ``step``, which marks the step done at the end and does
nothing when it is done already.
"""
