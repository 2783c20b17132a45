# The Python runtime: imports the handler, asks the Runtime API for events, and
# answers them. It behaves as AWS's own runtime does, as far as functions can
# tell, and imports as little as it can, because every module costs start time:
# no site, no socket, no json (its C half alone), no traceback or logging until
# somebody needs them. This is the first of several files that become one,
# bootstrap.py (see ../bootstrap.go).
#
# Usage: python3 -S bootstrap.pyc [SOCKET]
#
# SOCKET is the Runtime API's unix socket, /run/alcove/runtime.sock if not
# given; if there is none, AWS_LAMBDA_RUNTIME_API says where TCP leads to it.
#
# With _ALCOVE_BLANK in its environment it does not know its function yet: it
# waits to be told (see blank.py). So nothing here may look at a function's
# variables before _configure does.

import os
import sys
import time

import _json
import _socket

_HERE = os.path.dirname(__file__)
_ENV = os.environ

# Frame types of the telemetry descriptor; a level's bits are added to them.
_FRAME_TEXT = 0xA55A0003
_FRAME_JSON = 0xA55A0002
_ERROR_BITS = 20

_JSON_LOGS = False  # see _configure


class _Fault(Exception):
    """What the platform calls an error of the runtime rather than the function."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.trace = trace or []


class _Now:
    """The invocation that is running."""

    request_id = None
    tenant_id = None
