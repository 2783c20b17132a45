# Finding the handler, and telling what went wrong with it.


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
