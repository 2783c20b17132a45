# The context object.


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
