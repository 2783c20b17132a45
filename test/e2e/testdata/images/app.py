import os, stat, sys

count = 0


def handler(event, headers):
    global count
    count += 1
    return {
        "count": count,
        "tenant": headers.get("Lambda-Runtime-Aws-Tenant-Id"),
        "argv": sys.argv,
        "cwd": os.getcwd(),
        "uid": os.getuid(),
        "env": dict(os.environ),
    }


def other(event, headers):
    return "other"


def attempt(f):
    try:
        return repr(f())
    except OSError as e:
        return os.strerror(e.errno)


def put(path):
    with open(path, "w") as f:
        f.write("x")


def ok(path, mode):
    with open(path, mode):
        return "ok"


def said(f):
    try:
        return f()
    except OSError as e:
        return os.strerror(e.errno)


def who(event, headers):
    """Who this is, and what it may read."""
    caps = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")]
    return {
        "ids": [os.getuid(), os.getgid()],
        "groups": sorted(set(os.getgroups()) - {os.getgid()}),
        "home": os.environ.get("HOME", ""),
        "caps": "".join(caps),
        "mine": said(lambda: ok("/var/task/private", "r")),
        "group": said(lambda: ok("/var/task/shared", "r")),
        "root": said(lambda: ok("/var/task/closed", "r")),
        "tmp": said(lambda: ok("/tmp/f", "w")),
    }


def look(event, headers):
    """What there is for a hostile image to have brought along."""
    odd = []
    for where, dirs, files in os.walk("/"):
        dirs[:] = [d for d in dirs if os.path.join(where, d) not in ("/proc", "/sys", "/dev")]
        for name in dirs + files:
            st = os.lstat(os.path.join(where, name))
            if st.st_mode & 0o6000 or not (stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode) or stat.S_ISLNK(st.st_mode) or name == "runtime.sock"):
                odd.append(os.path.join(where, name))
    return {
        "odd": odd,
        "root": attempt(lambda: put("/x")),
        "task": attempt(lambda: put("/var/task/x")),
        "etc": attempt(lambda: put("/etc/passwd")),
        "tmp": attempt(lambda: put("/tmp/x")),
        "entries": sorted(os.listdir("/tmp")),
        "run": os.listdir("/run/alcove"),
        "null": stat.S_ISCHR(os.stat("/dev/null").st_mode),
        "self": os.readlink("/proc/self"),
        "pid": str(os.getpid()),
        "secret": attempt(lambda: open("/out/secret").read()),
        "uid": os.getuid(),
    }
