# From the start of the process to the answers.


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


def _configure():
    """Reads what the environment says of the function."""
    global _JSON_LOGS, _RAW, _encode
    _JSON_LOGS = _ENV.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    _RAW = os.urandom(12).hex() + ":"  # here, because processes that are forked must not share it
    _encode = _make_encode()


def _prepare():
    """Makes the interpreter look as any function expects it."""
    import builtins
    import _sitebuiltins

    for name in ("exit", "quit"):
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    builtins.help = _sitebuiltins._Helper()

    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(line_buffering=True)


def _own_places():
    """The directories of the function and of its layers, where modules are looked for first."""
    task = _ENV.get("LAMBDA_TASK_ROOT", "/var/task")
    versions = ["python%d.%d" % sys.version_info[:2]]
    named = _ENV.get("AWS_EXECUTION_ENV", "").rpartition("AWS_Lambda_")[2]
    if named.startswith("python") and named not in versions:
        versions.insert(0, named)
    layers = ["/opt/python/lib/%s/site-packages" % v for v in versions] + ["/opt/python"]
    return [task] + layers


# W3C Trace Context in the environment, as OpenTelemetry's programs read it.
_W3C = (("TRACEPARENT", "traceparent"), ("TRACESTATE", "tracestate"))
_traced = False  # the invocation before had one


def _set_w3c(headers):
    """Puts the caller's trace context where the function can read it, if there is one."""
    global _traced
    if not _traced and "traceparent" not in headers:
        return
    _traced = "traceparent" in headers
    for name, header in _W3C:
        if headers.get(header):
            _ENV[name] = headers[header]
        else:
            _ENV.pop(name, None)


def _main():
    path = sys.argv[1] if len(sys.argv) > 1 else "/run/alcove/runtime.sock"
    del sys.argv[1:]
    _prepare()
    api = None
    if _ENV.pop("_ALCOVE_BLANK", None) is not None:
        api = _wait_for_function(path)
    _configure()
    own = _own_places()
    sys.path[:] = own + [p for p in sys.path if p not in (own[0], _HERE)] + [_HERE]
    sink = _make_sink()
    sys.meta_path.insert(0, _LoggingFinder(sink))
    if api is None:
        _rehearse()
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
        _set_w3c(headers)
        _answer(api, handler, headers, body, sink)


_main()
