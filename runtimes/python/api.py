# The Runtime API: questions, and answers to them.


class _Api:
    """A connection to the Runtime API that is kept open."""

    _PREFIX = "/2018-06-01/runtime/"
    _NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n"

    def __init__(self, path, sock=None):
        if sock is not None:
            self._sock = sock
        elif os.path.exists(path):
            self._sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            self._sock.connect(path)
        else:
            host, _, port = _ENV["AWS_LAMBDA_RUNTIME_API"].rpartition(":")
            self._sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            self._sock.connect((host, int(port)))
            self._sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        self._rest = b""
        self._answer = b""  # goes out with the next question

    def close(self):
        self._sock.close()

    def function(self):
        """Waits until there is a function, and gives what is to be known of it."""
        self._sock.sendall(b"GET /alcove/function HTTP/1.1\r\nHost: runtime\r\n\r\n")
        status, _, body = self._read()
        if status != 200:
            raise SystemExit(1)
        return _loads(body)

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
