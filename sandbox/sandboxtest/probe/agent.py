"""The program that the suite runs inside a sandbox.

It connects to the sandbox's one door, says a name, and then runs what it is
sent: one JSON object a line each way. What a request leaves in `r` is the
answer.
"""
import errno
import json
import os
import socket
import sys


def dial(name, where='unix'):
    """A further connection through the door, as a buffered binary file."""
    if where == 'tcp':
        s = socket.create_connection(('127.0.0.1', 9001), timeout=20)
        s.settimeout(None)
    else:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect('/run/alcove/runtime.sock')
    f = s.makefile('rwb')
    f.write(json.dumps({'hello': name}).encode() + b'\n')
    f.flush()
    return f


def attempt(fn, *args):
    """The name of the error that fn ends with, or None if it succeeds."""
    try:
        fn(*args)
    except OSError as e:
        return errno.errorcode.get(e.errno, repr(e))
    return None


def main():
    f = dial('agent', sys.argv[1] if len(sys.argv) > 1 else 'unix')
    scope = {'dial': dial, 'attempt': attempt, 'os': os, 'socket': socket, 'errno': errno, 'sys': sys}
    for line in f:
        try:
            scope['r'] = None
            exec(json.loads(line)['code'], scope)
            answer = {'r': scope['r']}
        except BaseException as e:
            answer = {'error': '%s: %s' % (type(e).__name__, e)}
        f.write(json.dumps(answer, default=repr).encode() + b'\n')
        f.flush()


if __name__ == '__main__':
    main()
