# SPDX-License-Identifier: LGPL-3.0-or-later
"""The one exception of this package that is meant for users."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class IpipError(Exception):
    """A problem the user can fix: what is wrong, where, and what to do about it.

    The command line and the DP-GEN stages print its message without a traceback
    and exit with status 1. Any other exception is a bug and keeps its traceback.
    """


@contextmanager
def disk_full() -> Iterator[None]:
    """Turn the errors of a full disk into an :class:`IpipError`."""
    try:
        yield
    except OSError as error:
        # numpy says "N requested and M written", without an error number
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) and "requested and" not in str(error):
            raise
        where = f"{error.filename}: " if error.filename else ""
        raise IpipError(
            f"{where}no space left on the disk ({error}); nothing is lost: make room and type the same command again"
        ) from error
