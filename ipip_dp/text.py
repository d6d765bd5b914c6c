# SPDX-License-Identifier: LGPL-3.0-or-later
"""Words for people: values and messages on one line, and texts that stand for numbers or commands."""

from __future__ import annotations

import json
import math
import re
import shlex
import traceback
from typing import Any

SHOWN = 60  # characters of a wrong value in a message
# Control characters but those of a text of several lines, and halves of UTF-16 pairs: no file can be named so.
UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def shown(value: Any) -> str:
    """A value as JSON, cut if it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def one_line(text: str) -> str:
    """A text on one line that every terminal and log can show."""
    text = " ".join(text.split())
    return UNWRITABLE.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def reason(error: BaseException) -> str:
    """What an exception says on one line, or, if it has no text, the line of code that raised it."""
    name, text = type(error).__name__, one_line(str(error))
    if text:
        return f"{name}: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{name} of: {one_line(frames[-1].line or frames[-1].name)}" if frames else name


def is_positive(value: Any) -> bool:
    """Whether a value of JSON, or a text that stands for one, is a number greater than 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        return 0 < float(value) < math.inf
    except ValueError:
        return False


def is_command(text: str) -> bool:
    """Whether a text can be split into the words of a command."""
    try:
        return bool(shlex.split(text))
    except ValueError:  # a quotation without its end
        return False
