# SPDX-License-Identifier: LGPL-3.0-or-later
"""``python -m ipip_dp`` is ``ipip``."""

from ipip_dp.cli import main

if __name__ == "__main__":
    main()
