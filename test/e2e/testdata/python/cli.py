"""Runs the AWS CLI for each line of input, a JSON object with the arguments in "args",
and answers on a line with its wait status and what it printed.

The CLI is imported, and the model of Lambda's API read, once. Each command is a process
of its own, forked from this one, in which the CLI reads and runs its arguments."""
import json
import os
import sys
import tempfile

import awscli.clidriver

driver = awscli.clidriver.create_clidriver()
driver.session.create_client("lambda")


def child(args, out, err):
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    status = 70
    try:
        status = driver.main(args)
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else e.code is not None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


for line in sys.stdin:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line)["args"], out, err)
        _, status = os.waitpid(pid, 0)
        out.seek(0), err.seek(0)
        answer = {"Status": status, "Out": out.read().decode(), "Err": err.read().decode()}
    print(json.dumps(answer), flush=True)
