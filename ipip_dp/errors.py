"""The one exception of this package that is meant for users."""


class IpipError(Exception):
    """A problem the user can fix: what is wrong, where, and what to do about it.

    The command line and the DP-GEN stages print its message without a traceback
    and exit with status 1. Any other exception is a bug and keeps its traceback.
    """
