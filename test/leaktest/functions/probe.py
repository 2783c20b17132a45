"""The function that `alcove leaktest` deploys on Python runtimes.

Every invocation says who it is for. It first looks in every place it knows for
marks that invocations left there, and then leaves marks of its own. It needs no
right that an ordinary function does not have, and it touches only what bears
the mark of this run.
"""
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import zlib

ENVIRONMENT = str(uuid.uuid4())
LIFE = 60  # seconds; nothing left behind lives longer
PLACES = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/mnt", "/opt", "/var/task", "/var/cache", "/home", "."]

seen = {}  # who -> invocations: a global, as functions have them
current = [None]
threads = {}  # who -> {"beats": n, "spied": set of who}
kept = []  # what must not be collected
libc = ctypes.CDLL(None, use_errno=True)


def mark(event, who):
    return "leaktest-%s-%s" % (event["run"], who)


def number(text):
    return zlib.crc32(text.encode())


def check(result):
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


# Each channel is a pair: plant(event, mark) leaves a mark, look(event, mark)
# says whether that mark is there.

def plant_files(event, m):
    left = 0
    for place in PLACES:
        try:
            with open(os.path.join(place, m), "w") as f:
                f.write(m)
            left += 1
        except OSError:
            pass
    if not left:
        raise OSError("no place can be written to")


def look_files(event, m):
    return [os.path.join(p, m) for p in PLACES if os.path.exists(os.path.join(p, m))]


def plant_environ(event, m):
    os.environ[m.replace("-", "_")] = m


def look_environ(event, m):
    return m.replace("-", "_") in os.environ


def plant_thread(event, m):
    who = event["who"]
    if who in threads:
        return
    state = threads[who] = {"beats": 0, "spied": set()}
    end = time.time() + LIFE

    def spy():
        while time.time() < end:
            state["beats"] += 1
            if current[0] is not None:
                state["spied"].add(current[0])
            time.sleep(0.003)
    threading.Thread(target=spy, daemon=True).start()


def look_thread(event, m):
    who = m.rsplit("-", 1)[1]
    if who not in threads:
        return False
    before = threads[who]["beats"]
    time.sleep(0.03)
    return threads[who]["beats"] > before and event["who"] in threads[who]["spied"]


def serve(listener, m, end):
    listener.settimeout(1)
    while time.time() < end:
        try:
            conn, _ = listener.accept()
            conn.settimeout(1)
            conn.sendall(m.encode())
            if conn.recv(16) == b"stop":
                return
            conn.close()
        except OSError:
            pass


def ask(family, address, m, word=b"hello"):
    with socket.socket(family) as s:
        s.settimeout(2)
        try:
            s.connect(address)
            got = s.recv(200)
            s.sendall(word)
            return got.decode() == m
        except OSError:
            return False


def daemon_address(m):
    return "\0" + m + "-daemon"


def plant_daemon(event, m):
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(daemon_address(m))
    except OSError as e:
        listener.close()
        if e.errno == 98:  # it is still there
            return
        raise
    listener.listen(8)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        serve(listener, m, time.time() + LIFE)
        os._exit(0)
    os.waitpid(pid, 0)
    listener.close()


def look_daemon(event, m):
    return ask(socket.AF_UNIX, daemon_address(m), m)


def plant_abstract(event, m):
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind("\0" + m)
    except OSError as e:
        listener.close()
        if e.errno == 98:
            return
        raise
    listener.listen(8)
    threading.Thread(target=serve, args=(listener, m, time.time() + LIFE), daemon=True).start()


def look_abstract(event, m):
    return ask(socket.AF_UNIX, "\0" + m, m)


def port(m):
    return 20000 + number(m) % 10000


def plant_tcp(event, m):
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port(m)))
    except OSError as e:
        listener.close()
        if e.errno == 98:
            return
        raise
    listener.listen(8)
    threading.Thread(target=serve, args=(listener, m, time.time() + LIFE), daemon=True).start()


def look_tcp(event, m):
    return ask(socket.AF_INET, ("127.0.0.1", port(m)), m)


def descriptors():
    for fd in range(3, 1024):
        try:
            yield fd, os.pread(fd, 200, 0)
        except OSError:
            pass


def plant_fd(event, m):
    if look_fd(event, m):
        return
    fd = os.memfd_create(m)
    os.write(fd, m.encode())


def look_fd(event, m):
    return any(got == m.encode() for _, got in descriptors())


def plant_shm(event, m):
    shmid = check(libc.shmget(number(m) & 0x7fffffff, 4096, 0o1666))
    libc.shmat.restype = ctypes.c_void_p
    at = libc.shmat(shmid, None, 0)
    if at in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "shmat")
    ctypes.memmove(at, m.encode() + b"\0", len(m) + 1)
    libc.shmdt(ctypes.c_void_p(at))


def look_shm(event, m):
    return libc.shmget(number(m) & 0x7fffffff, 0, 0o400) != -1


def plant_msg(event, m):
    check(libc.msgget(number(m) & 0x7fffffff, 0o1666))


def look_msg(event, m):
    return libc.msgget(number(m) & 0x7fffffff, 0o400) != -1


def plant_mq(event, m):
    # Large messages would run into the limit that is meant for all queues.
    attributes = (ctypes.c_long * 8)(0, 1, 16)
    fd = check(libc.mq_open(b"/" + m.encode(), os.O_CREAT | os.O_RDWR, 0o666, attributes))
    os.close(fd)


def look_mq(event, m):
    fd = libc.mq_open(b"/" + m.encode(), os.O_RDONLY)
    if fd == -1:
        return False
    os.close(fd)
    return True


ADD_KEY, REQUEST_KEY, KEYCTL = {"aarch64": (217, 218, 219)}.get(os.uname().machine, (248, 249, 250))
USER_KEYRING = -4


def plant_key(event, m):
    check(libc.syscall(ADD_KEY, b"user", m.encode(), m.encode(), ctypes.c_size_t(len(m)), USER_KEYRING))


def find_key(m):
    KEYCTL_SEARCH = 10
    return libc.syscall(KEYCTL, KEYCTL_SEARCH, USER_KEYRING, b"user", m.encode(), 0)


def look_key(event, m):
    return find_key(m) != -1


def processes(m):
    """The processes that bear a mark on their command line."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open("/proc/%s/cmdline" % name, "rb") as f:
                    if m.encode() in f.read().split(b"\0"):
                        yield int(name)
            except OSError:
                pass


def plant_process(event, m):
    if not any(processes(m)):
        kept.append(subprocess.Popen([sys.executable, "-S", "-E", "-c", "import time; time.sleep(%d)" % LIFE, m]))


def look_process(event, m):
    return any(processes(m))


def look_signal(event, m):
    for pid in processes(m):
        try:
            os.kill(pid, 0)
            return True
        except OSError:
            pass
    return False


def look_memory(event, m):
    """Whether a marked process can be traced, or its memory, environment or root read."""
    PTRACE_ATTACH, PTRACE_DETACH = 16, 17
    ways = []
    for pid in processes(m):
        if libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
            os.waitpid(pid, 0x40000000)  # __WALL
            libc.ptrace(PTRACE_DETACH, pid, None, None)
            ways.append("ptrace")
        for what in ("environ", "mem", "maps"):
            try:
                with open("/proc/%d/%s" % (pid, what), "rb", buffering=0) as f:
                    if what == "mem" or f.read(1):
                        ways.append("/proc/PID/" + what)
            except OSError:
                pass
        try:
            if os.listdir("/proc/%d/root/tmp" % pid) is not None:
                ways.append("/proc/PID/root")
        except OSError:
            pass
    return ways


def nothing(event, m):
    pass


CHANNELS = {
    "globals": (nothing, lambda event, m: m.rsplit("-", 1)[1] in seen),
    "files": (plant_files, look_files),
    "environ": (plant_environ, look_environ),
    "thread": (plant_thread, look_thread),
    "daemon": (plant_daemon, look_daemon),
    "descriptor": (plant_fd, look_fd),
    "abstract socket": (plant_abstract, look_abstract),
    "loopback": (plant_tcp, look_tcp),
    "sysv shm": (plant_shm, look_shm),
    "sysv queue": (plant_msg, look_msg),
    "posix queue": (plant_mq, look_mq),
    "keyring": (plant_key, look_key),
    "process": (plant_process, look_process),
    "signal": (nothing, look_signal),
    "memory": (nothing, look_memory),
}


def stop(event):
    """Takes everything back that would outlive the environment somewhere."""
    for who in event["everybody"]:
        m = mark(event, who)
        for path in look_files(event, m):
            try:
                os.unlink(path)
            except OSError:
                pass
        ask(socket.AF_UNIX, daemon_address(m), m, b"stop")
        for pid in processes(m):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        shmid = libc.shmget(number(m) & 0x7fffffff, 0, 0o600)
        if shmid != -1:
            libc.shmctl(shmid, 0, None)
        queue = libc.msgget(number(m) & 0x7fffffff, 0o600)
        if queue != -1:
            libc.msgctl(queue, 0, None)
        libc.mq_unlink(b"/" + m.encode())
        key = find_key(m)
        if key != -1:
            KEYCTL_UNLINK = 9
            libc.syscall(KEYCTL, KEYCTL_UNLINK, key, USER_KEYRING)
    while kept:
        kept.pop().wait()


def handler(event, context):
    who = event["who"]
    current[0] = who
    answer = {"environment": ENVIRONMENT, "tenant": getattr(context, "tenant_id", None),
              "found": {}, "planted": {}}
    try:
        if event["op"] == "probe":
            print(mark(event, who))
            for name, (plant, look) in CHANNELS.items():
                found = answer["found"][name] = {}
                for other in event["everybody"]:
                    try:
                        got = look(event, mark(event, other))
                    except Exception as e:
                        got = False
                        answer.setdefault("trouble", {})[name] = repr(e)
                    if got:
                        found[other] = ", ".join(got) if isinstance(got, list) else ""
            for name, (plant, look) in CHANNELS.items():
                try:
                    plant(event, mark(event, who))
                    answer["planted"][name] = ""
                except Exception as e:
                    answer["planted"][name] = getattr(e, "strerror", None) or str(e) or repr(e)
        elif event["op"] == "stop":
            stop(event)
        time.sleep(event.get("milliseconds", 0) / 1000)
    finally:
        seen[who] = seen.get(who, 0) + 1
        answer["count"], answer["everybody"] = seen[who], sum(seen.values())
        current[0] = None
    return answer
