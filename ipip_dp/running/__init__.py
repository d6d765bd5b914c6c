# SPDX-License-Identifier: LGPL-3.0-or-later
"""Everything between us and dpdispatcher: machine sections, submissions, jobs and queues that fail."""
