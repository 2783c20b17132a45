# Beside bootstrap.py: sets the logging module up as functions on AWS find it.
# It runs when logging is first imported; its globals are given by bootstrap.py:
# logging, sink, now (the invocation that is running), as_json, level.

import json
import time

FRAME_TEXT = 0xA55A0003
FRAME_JSON = 0xA55A0002

# What a record has of its own accord; everything else came by `extra`.
OWN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "aws_request_id", "tenant_id", "taskName", "message", "asctime"}

_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _rounded(record):
    """The standard level at or below a record's: 0, 10 … 50."""
    return min(50, max(0, record.levelno)) // 10 * 10


class JsonFormatter(logging.Formatter):
    """A record as one JSON object, in the order of AWS's runtime."""

    def format(self, record):
        result = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": logging.getLevelName(_rounded(record)),
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0] is not None:
            import traceback

            kind, value, trace = record.exc_info
            result["stackTrace"] = traceback.format_tb(trace)
            result["errorType"] = kind.__name__
            result["errorMessage"] = str(value)
        if record.aws_request_id is not None:
            result["requestId"] = record.aws_request_id
        if "errorType" in result:
            result["location"] = "%s:%s:%d" % (record.pathname, record.funcName, record.lineno)
        if record.tenant_id is not None:
            result["tenantId"] = record.tenant_id
        for key, value in record.__dict__.items():
            if key not in OWN and key not in result and value is not None:
                result[key] = value
        return _encode(result) + "\n"


class LambdaLoggerHandler(logging.Handler):
    """Sends records to the platform, with their levels where it can take them."""

    def __init__(self, sink, base, with_level):
        super().__init__()
        self.log_sink = sink
        self._base = base
        self._with_level = with_level

    def emit(self, record):
        try:
            # DEBUG 8, INFO 12, WARNING 16, ERROR 20, CRITICAL 24
            level = _rounded(record)
            bits = (level // 10 + 1) * 4 if self._with_level and level else 0
            text = self.format(record)
            if not text.endswith("\n"):  # the traceback of an exception
                text += "\n"
            self.log_sink.log(text, self._base | bits)
        except Exception:
            self.handleError(record)


class LambdaLoggerFilter(logging.Filter):
    """Gives records the invocation that they belong to."""

    def filter(self, record):
        record.aws_request_id = now.request_id or ""
        record.tenant_id = now.tenant_id
        return True


logging.Formatter.converter = time.gmtime
handler = LambdaLoggerHandler(sink, FRAME_JSON if as_json else FRAME_TEXT, as_json or bool(level))
if as_json:
    handler.setFormatter(JsonFormatter())
else:
    handler.setFormatter(logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"))
handler.addFilter(LambdaLoggerFilter())

root = logging.getLogger()
root.addHandler(handler)
if level == "TRACE":
    level = "DEBUG"
if level in logging._nameToLevel:
    root.setLevel(level)
