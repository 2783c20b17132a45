# Where log records go.

class _StdoutSink:
    """Log records as lines on stdout; inside a record, lines end with CR."""

    def log(self, message, frame_type=_FRAME_TEXT):
        sys.stdout.write(message)

    def log_lines(self, lines, frame_type=_FRAME_TEXT):
        sys.stdout.write("\r".join(lines) + "\n")


class _FrameSink:
    """Log records as frames on a descriptor of their own."""

    def __init__(self, fd):
        import _thread

        self._fd = fd
        self._lock = _thread.allocate_lock()
        os.set_inheritable(fd, False)

    def log(self, message, frame_type=_FRAME_TEXT):
        raw = message.encode("utf-8", "replace")
        frame = (
            frame_type.to_bytes(4, "big")
            + len(raw).to_bytes(4, "big")
            + (time.time_ns() // 1000).to_bytes(8, "big")
            + raw
        )
        with self._lock:
            while frame:
                frame = frame[os.write(self._fd, frame):]

    def log_lines(self, lines, frame_type=_FRAME_TEXT):
        self.log("\n".join(lines), frame_type)


def _make_sink():
    fd = _ENV.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
    return _StdoutSink() if fd is None else _FrameSink(int(fd))


class _LoggingFinder:
    """Sets the logging module up when it is first imported, by whomever."""

    def __init__(self, sink):
        self._sink = sink

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            _run_part("logs", {"__name__": "alcove_logs", "logging": module, "sink": self._sink, "now": _Now, "as_json": _JSON_LOGS,
                               "level": _ENV.get("AWS_LAMBDA_LOG_LEVEL", "").upper()})

        spec.loader.exec_module = exec_module
        return spec


def _run_part(name, names):
    """Runs another file of this runtime; names are its globals."""
    import marshal

    with open(os.path.join(_HERE, name + ".pyc"), "rb") as f:
        exec(marshal.loads(f.read()[16:]), names)


def _log_error(error, sink):
    """One record for an error that the function did not catch."""
    if _JSON_LOGS:
        record = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "log_level": "ERROR", **error}
        sink.log_lines([_dumps(record)], _FRAME_JSON | _ERROR_BITS)
        return
    lines = ["[ERROR] " + ": ".join(part for part in (error["errorType"], error["errorMessage"]) if part),
             "Traceback (most recent call last):"]
    for entry in error["stackTrace"]:
        for line in entry.splitlines():
            text = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(text)) + text)
    sink.log_lines(lines, _FRAME_TEXT | _ERROR_BITS)
