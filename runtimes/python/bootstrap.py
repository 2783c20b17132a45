# The Python runtime: imports the handler, asks the Runtime API for events, and
# answers them. It behaves as AWS's own runtime does, as far as functions can
# tell, and imports as little as it can, because every module costs start time:
# no site, no socket, no json (its C half alone), no traceback or logging until
# somebody needs them.
#
# Usage: python3 -S bootstrap.pyc [SOCKET]
#
# SOCKET is the Runtime API's unix socket, /run/alcove/runtime.sock if not
# given; if there is none, AWS_LAMBDA_RUNTIME_API says where TCP leads to it.

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

_JSON_LOGS = _ENV.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


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


# --- logs ---------------------------------------------------------------------


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


# --- JSON ---------------------------------------------------------------------

_SCALARS = frozenset((str, int, float, bool, type(None)))

# Stands before a number that must not become a string: a Decimal. It cannot be
# guessed, so no string of the function begins with it.
_RAW = os.urandom(12).hex() + ":"


class _ScannerContext:
    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.__getitem__
    memo = {}


def _make_loads():
    try:
        scan = _json.make_scanner(_ScannerContext)
    except (AttributeError, TypeError):  # another Python's idea of a scanner
        scan = None

    def loads(raw):
        if scan is not None:
            try:
                text = str(raw, "utf-8").strip(" \t\n\r")
                value, end = scan(text, 0)
                if end == len(text):
                    return value
            except Exception:
                pass  # for the exact error, below
        import json

        return json.loads(raw)

    return loads


_loads = _make_loads()


def _default(o):
    """JSON for what the encoder does not know; as simplejson has it."""
    if isinstance(o, bytes):
        return o.decode("utf-8")
    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(o, decimal.Decimal):
        return float("nan") if o.is_nan() else _RAW + str(o)
    as_dict = getattr(o, "_asdict", None)
    if as_dict is not None:
        return as_dict()
    raise TypeError("Object of type %s is not JSON serializable" % o.__class__.__name__)


def _make_encode():
    # From Python 3.12 on, AWS's runtime leaves characters beyond ASCII as they are.
    name = _ENV.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
    ascii_only = not (name.isdigit() and int(name) >= 12)
    markers = {}
    try:
        quote = _json.encode_basestring_ascii if ascii_only else _json.encode_basestring
        encode = _json.make_encoder(markers, _default, quote, None, ": ", ", ", False, False, True)
        encode(None, 0)
    except (AttributeError, TypeError):  # another Python's idea of an encoder
        import json

        return json.JSONEncoder(ensure_ascii=ascii_only, default=_default).encode

    def dumps(o):
        try:
            return "".join(encode(o, 0))
        finally:
            markers.clear()

    return dumps


_encode = _make_encode()


def _dumps(o):
    if type(o) not in _SCALARS and _has_named_tuple(o):
        o = _without_named_tuples(o, set())
    text = _encode(o)
    if _RAW in text:
        first, *rest = text.split('"' + _RAW)
        text = first + "".join(part.replace('"', "", 1) for part in rest)
    return text


def _has_named_tuple(o):
    """Looks for tuples that become objects. The encoder would make them arrays."""
    todo, seen = [o], set()
    while todo:
        o = todo.pop()
        if isinstance(o, dict):
            values = o.values()
        elif isinstance(o, (list, tuple)):
            if hasattr(o, "_asdict"):
                return True
            values = o
        else:
            continue
        if id(o) in seen:
            continue
        seen.add(id(o))
        if not _SCALARS.issuperset(map(type, values)):
            todo.extend([v for v in values if type(v) not in _SCALARS])
    return False


def _without_named_tuples(o, active):
    if not isinstance(o, (dict, list, tuple)):
        return o
    if id(o) in active:
        raise ValueError("Circular reference detected")
    active.add(id(o))
    try:
        if hasattr(o, "_asdict"):
            o = o._asdict()
        if isinstance(o, dict):
            return {k: _without_named_tuples(v, active) for k, v in o.items()}
        return [_without_named_tuples(v, active) for v in o]
    finally:
        active.discard(id(o))


# --- the Runtime API ----------------------------------------------------------


class _Api:
    """A connection to the Runtime API that is kept open."""

    _PREFIX = "/2018-06-01/runtime/"
    _NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n"

    def __init__(self, path):
        if os.path.exists(path):
            self._sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            self._sock.connect(path)
        else:
            host, _, port = _ENV["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
            self._sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            self._sock.connect((host, int(port)))
            self._sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self._rest = b""
        self._answer = b""  # goes out with the next question

    def next(self):
        """Sends the answer that is due, asks for an event, and waits for it."""
        answer, self._answer = self._answer, b""
        if len(answer) <= 65536:
            self._sock.sendall(answer + self._NEXT)
        else:
            self._sock.sendall(answer)
            self._sock.sendall(self._NEXT)
        if answer:
            self._accepted()
        status, headers, body = self._read()
        if status != 200:
            raise _Fault("Runtime.LambdaRuntimeClientError", "Failed to get next invocation: %d" % status)
        return headers, body

    def result(self, headers, body, content_type):
        self._post(headers, "/response", body, "Content-Type: %s\r\n" % content_type)

    def error(self, headers, kind, body, cause):
        extra = "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: %s\r\n" % kind
        if cause and len(cause) < 65536:
            extra += "Lambda-Runtime-Function-XRay-Error-Cause: %s\r\n" % cause
        self._post(headers, "/error", body, extra)

    def init_error(self, kind, body):
        extra = "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: %s\r\n" % kind
        self._sock.sendall(self._request("init/error", body, extra))
        self._accepted()

    def _post(self, headers, verb, body, extra):
        attempt = headers.get("lambda-runtime-invocation-id")
        if attempt:
            extra += "Lambda-Runtime-Invocation-Id: %s\r\n" % attempt
        path = "invocation/" + headers["lambda-runtime-aws-request-id"] + verb
        # Held back for as long as it takes to ask for the next event: one
        # packet for both.
        self._answer = self._request(path, body, extra)

    def _request(self, path, body, extra):
        return b"%bContent-Length: %d\r\n\r\n%b" % (
            ("POST %s%s HTTP/1.1\r\nHost: runtime\r\n%s" % (self._PREFIX, path, extra)).encode("latin-1", "replace"),
            len(body), body)

    def _accepted(self):
        status, _, body = self._read()
        if status != 202:
            sys.stderr.write("LAMBDA_RUNTIME Failed to post handler response. Http response code: %d. %s\n"
                             % (status, bytes(body).decode("utf-8", "replace")))

    def _read(self):
        raw = self._rest
        end = raw.find(b"\r\n\r\n")
        while end < 0:
            more = self._sock.recv(65536)
            if not more:
                raise SystemExit(1)  # the environment is no more
            raw += more
            end = raw.find(b"\r\n\r\n")
        lines = raw[:end].decode("utf-8", "replace").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip(" ")
        size = int(headers.get("content-length", 0))
        start = end + 4
        if len(raw) - start >= size:
            self._rest = raw[start + size:]
            return int(lines[0][9:12]), headers, raw[start:start + size]
        body = bytearray(size)
        have = len(raw) - start
        body[:have] = raw[start:]
        view = memoryview(body)
        while have < size:
            n = self._sock.recv_into(view[have:])
            if n == 0:
                raise SystemExit(1)
            have += n
        self._rest = b""
        return int(lines[0][9:12]), headers, bytes(body)


# --- the function -------------------------------------------------------------


def _attributes(cls, source):
    if source is None:
        return None
    made = cls()
    for name in cls.__slots__:
        setattr(made, name, source.get(name))
    return made


def _show(o, names):
    return "%s([%s])" % (type(o).__name__, ",".join("%s=%s" % (n, getattr(o, n, None)) for n in names))


class CognitoIdentity:
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __repr__(self):
        return _show(self, self.__slots__)


class Client:
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")

    def __repr__(self):
        return _show(self, self.__slots__)


class ClientContext:
    __slots__ = ("custom", "env", "client")

    def __repr__(self):
        return _show(self, self.__slots__)


def _constants(kept=[]):
    """The members of a context that are the same for every invocation."""
    if not kept:
        kept.append({
            "log_group_name": _ENV.get("AWS_LAMBDA_LOG_GROUP_NAME"),
            "log_stream_name": _ENV.get("AWS_LAMBDA_LOG_STREAM_NAME"),
            "function_name": _ENV.get("AWS_LAMBDA_FUNCTION_NAME"),
            "memory_limit_in_mb": _ENV.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
            "function_version": _ENV.get("AWS_LAMBDA_FUNCTION_VERSION"),
        })
    return kept[0]


class LambdaContext:
    """What a handler gets beside the event."""

    def __init__(self, headers, sink):
        self.__dict__.update(_constants())
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        client = _header_json(headers, "lambda-runtime-client-context", "Client Context")
        self.client_context = _attributes(ClientContext, client)
        if client is not None:
            self.client_context.client = _attributes(Client, self.client_context.client)
        identity = _header_json(headers, "lambda-runtime-cognito-identity", "Cognito Identity") or {}
        self.identity = CognitoIdentity()
        self.identity.cognito_identity_id = identity.get("cognitoIdentityId")
        self.identity.cognito_identity_pool_id = identity.get("cognitoIdentityPoolId")
        self._epoch_deadline_time_in_ms = int(headers["lambda-runtime-deadline-ms"])
        self._sink = sink

    def get_remaining_time_in_millis(self):
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def log(self, msg):
        self._sink.log(str(msg))

    def __repr__(self):
        return _show(self, ("aws_request_id", "log_group_name", "log_stream_name", "function_name", "memory_limit_in_mb",
                            "function_version", "invoked_function_arn", "client_context", "identity", "tenant_id"))


def _header_json(headers, key, name):
    raw = headers.get(key)
    if not raw:
        return None
    try:
        return _loads(raw.encode("utf-8"))
    except Exception as e:
        raise _Fault("Runtime.LambdaContextUnmarshalError", "Unable to parse %s JSON: %s" % (name, e))


def _find_handler(handler):
    try:
        module_name, function_name = handler.rsplit(".", 1)
    except ValueError as e:
        raise _Fault("Runtime.MalformedHandlerName", "Bad handler '%s': %s" % (handler, e))
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise _Fault("Runtime.BuiltInModuleConflict",
                     "Cannot use built-in module %s as a handler module" % module_name)
    try:
        name = module_name.replace("/", ".")
        __import__(name)
        module = sys.modules[name]
    except ImportError as e:
        raise _Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, e))
    except SyntaxError as e:
        raise _Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, e),
                     ['  File "%s" Line %s\n    %s' % (e.filename, e.lineno, e.text)])
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise _Fault("Runtime.HandlerNotFound",
                     "Handler '%s' missing on module '%s'" % (function_name, module_name)) from None


def _text(value):
    try:
        return str(value)
    except Exception:
        return "<unprintable %s object>" % type(value).__name__


def _describe(e, request_id):
    """The error object for an exception, and its cause for X-Ray."""
    if isinstance(e, _Fault):
        kind, message, trace, frames = e.kind, e.message, e.trace, []
    else:
        import traceback

        frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(e.__traceback__)]
        while frames and frames[0][0] == _describe.__code__.co_filename:
            del frames[0]
        kind, message, trace = type(e).__name__, _text(e), traceback.format_list(frames)
    error = {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}
    cause = {"working_directory": os.getcwd(),
             "exceptions": [{"message": message, "type": "LambdaValidationError" if isinstance(e, _Fault) else kind,
                             "stack": [{"label": f[2], "path": f[0], "line": f[1]} for f in frames]}],
             "paths": list({f[0] for f in frames})}
    return error, cause


def _error_body(error):
    try:
        return _dumps(error).encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair in a message
        import json

        return json.dumps(error).encode("ascii")


def _marshal(result):
    if isinstance(result, bytes):
        return result, "application/unknown"
    try:
        return _dumps(result).encode("utf-8"), "application/json"
    except Exception as e:
        raise _Fault("Runtime.MarshalError", "Unable to marshal response: %s" % _text(e))


def _answer(api, handler, headers, body, sink):
    """Runs the handler on one event."""
    try:
        context = LambdaContext(headers, sink)
        if headers.get("content-type") == "application/json":
            try:
                event = _loads(body)
            except Exception as e:
                raise _Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % e)
        else:
            event = body
        result, content_type = _marshal(handler(event, context))
    except Exception as e:
        error, cause = _describe(e, headers["lambda-runtime-aws-request-id"])
        _log_error(error, sink)
        import json

        api.error(headers, error["errorType"], _error_body(error), json.dumps(cause))
    else:
        api.result(headers, result, content_type)
    sys.stdout.flush()


def _prepare():
    """Makes the interpreter look as a function expects it."""
    import builtins
    import _sitebuiltins

    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    builtins.help = _sitebuiltins._Helper()

    task = _ENV.get("LAMBDA_TASK_ROOT", "/var/task")
    versions = ["python%d.%d" % sys.version_info[:2]]
    named = _ENV.get("AWS_EXECUTION_ENV", "").rpartition("AWS_Lambda_")[2]
    if named.startswith("python") and named not in versions:
        versions.insert(0, named)
    layers = ["/opt/python/lib/%s/site-packages" % v for v in versions] + ["/opt/python"]
    sys.path[:] = [task] + layers + [p for p in sys.path if p not in (task, _HERE)] + [_HERE]

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(line_buffering=True)


def _main():
    path = sys.argv[1] if len(sys.argv) > 1 else "/run/alcove/runtime.sock"
    del sys.argv[1:]
    _prepare()
    sink = _make_sink()
    sys.meta_path.insert(0, _LoggingFinder(sink))
    api = _Api(path)
    try:
        handler = _find_handler(_ENV.get("_HANDLER", ""))
    except Exception as e:
        error, _ = _describe(e, "")
        _log_error(error, sink)
        sys.stdout.flush()
        api.init_error(error["errorType"], _error_body(error))
        sys.exit(1)
    sys.stdout.flush()
    while True:
        headers, body = api.next()
        _Now.request_id = headers["lambda-runtime-aws-request-id"]
        _Now.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        trace = headers.get("lambda-runtime-trace-id")
        if trace:
            _ENV["_X_AMZN_TRACE_ID"] = trace
        else:
            _ENV.pop("_X_AMZN_TRACE_ID", None)
        _answer(api, handler, headers, body, sink)


_main()
