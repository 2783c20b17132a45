"""System calls that a sandbox must refuse. They are tried in processes of their
own, with arguments that would work for root on the host but harm nothing; one
that is not refused is the last of its process. Each is reported with how it ended
and with the errors that count as refused."""
import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import struct
import time

libc = ctypes.CDLL(None, use_errno=True)

# name: (x86_64, aarch64); None where the architecture has no such call.
NUMBERS = {
    'acct': (163, 89), 'add_key': (248, 217), 'adjtimex': (159, 171), 'bpf': (321, 280), 'chroot': (161, 51), 'clock_settime': (227, 112),
    'clone': (56, 220), 'clone3': (435, 435), 'delete_module': (176, 106), 'fanotify_init': (300, 262), 'finit_module': (313, 273),
    'fsopen': (430, 430), 'init_module': (175, 105), 'io_uring_setup': (425, 425), 'ioperm': (173, None), 'iopl': (172, None),
    'ioprio_set': (251, 30), 'kexec_load': (246, 104), 'keyctl': (250, 219), 'mount': (165, 40), 'mount_setattr': (442, 442),
    'move_mount': (429, 429), 'open_by_handle_at': (304, 265), 'open_tree': (428, 428), 'perf_event_open': (298, 241),
    'personality': (135, 92), 'pivot_root': (155, 41), 'process_vm_readv': (310, 270), 'ptrace': (101, 117), 'reboot': (169, 142),
    'request_key': (249, 218), 'setdomainname': (171, 162), 'sethostname': (170, 161), 'setns': (308, 268), 'settimeofday': (164, 170),
    'swapoff': (168, 225), 'swapon': (167, 224), 'syslog': (103, 116), 'umount2': (166, 39), 'unshare': (272, 97), 'userfaultfd': (323, 282),
    'kcmp': (312, 272), 'lookup_dcookie': (212, 18), 'quotactl': (179, 60),
}
COLUMN = 0 if platform.machine() == 'x86_64' else 1
AT_FDCWD = -100


def call(name, *args):
    number = NUMBERS[name][COLUMN]
    if number is None:
        raise OSError(errno.ENOSYS, 'no such call here')
    return raw(number, *args)


def raw(number, *args):
    full = [ctypes.c_long(number)]
    for a in args:
        full.append(ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) if isinstance(a, int) else a)
    ctypes.set_errno(0)
    libc.syscall.restype = ctypes.c_long
    r = libc.syscall(*full)
    if r == -1:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e))
    return r


CLONE = {'mnt': 0x20000, 'cgroup': 0x2000000, 'uts': 0x4000000, 'ipc': 0x8000000, 'user': 0x10000000, 'pid': 0x20000000, 'net': 0x40000000}
TRIED = []


def refused(*also, name=None):
    """Registers an attempt. EPERM, EACCES and ENOSYS always mean refused."""
    def register(fn):
        TRIED.append((name or fn.__name__, fn, {'EPERM', 'EACCES', 'ENOSYS'} | set(also)))
        return fn
    return register


def forked(pid):
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


for flag in CLONE:
    refused('ENOSPC', *(('EINVAL',) if flag == 'cgroup' else ()), name='unshare_' + flag)(lambda f=CLONE[flag]: call('unshare', f))
refused('ENOSPC', name='clone_newuser')(lambda: forked(call('clone', CLONE['user'] | signal.SIGCHLD, 0, 0, 0, 0)))
refused('ENOSPC', name='clone3_newuser')(lambda: forked(call('clone3', struct.pack('11Q', CLONE['user'], 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0), 88)))
refused(name='mount_tmpfs')(lambda: call('mount', b'none', b'/mnt', b'tmpfs', 0, b''))
refused(name='mount_proc')(lambda: call('mount', b'none', b'/mnt', b'proc', 0, b''))
refused(name='mount_bind')(lambda: call('mount', b'/tmp', b'/mnt', 0, 4096, 0))
refused(name='remount_root')(lambda: call('mount', 0, b'/', 0, 32 | 4096, 0))
refused(name='remount_code')(lambda: call('mount', 0, b'/var/task', 0, 32 | 4096, 0))
refused(name='remount_tmp_suid')(lambda: call('mount', 0, b'/tmp', 0, 32 | 4096, 0))
refused(name='umount')(lambda: call('umount2', b'/tmp', 2))
refused(name='pivot_root')(lambda: call('pivot_root', b'/tmp', b'/tmp'))
refused(name='chroot')(lambda: call('chroot', b'/tmp'))
refused(name='open_tree')(lambda: call('open_tree', AT_FDCWD, b'/tmp', 1))
refused(name='fsopen')(lambda: call('fsopen', b'tmpfs', 0))
refused(name='move_mount')(lambda: call('move_mount', AT_FDCWD, b'/tmp', AT_FDCWD, b'/mnt', 0))
refused(name='mount_setattr')(lambda: call('mount_setattr', AT_FDCWD, b'/', 0, struct.pack('4Q', 0, 1, 0, 0), 32))


@refused('ENOENT')
def setns():
    fd = os.open('/proc/self/ns/net', os.O_RDONLY)
    call('setns', fd, 0)


refused(name='bpf_map')(lambda: call('bpf', 0, struct.pack('IIII', 2, 4, 4, 1) + bytes(112), 128))
refused(name='bpf_prog')(lambda: call('bpf', 5, struct.pack('IIQQ', 1, 2, ctypes.cast(ctypes.create_string_buffer(
    struct.pack('BBhi', 0xb7, 0, 0, 0) + struct.pack('BBhi', 0x95, 0, 0, 0)), ctypes.c_void_p).value, ctypes.cast(ctypes.create_string_buffer(b'GPL'), ctypes.c_void_p).value) + bytes(104), 128))
# A software clock of this process alone, user space only.
refused('ENODEV', 'ENOENT', name='perf_event_open')(lambda: call('perf_event_open', struct.pack('IIQQQQQ', 1, 112, 0, 0, 0, 0, 0x61) + bytes(64), 0, -1, -1, 0))
refused(name='io_uring')(lambda: call('io_uring_setup', 1, ctypes.create_string_buffer(120)))
refused(name='userfaultfd')(lambda: call('userfaultfd', os.O_CLOEXEC | 1))
refused(name='keyctl')(lambda: call('keyctl', 0, -3, 1))
refused(name='add_key')(lambda: call('add_key', b'user', b'alcove-probe', b'x', 1, -2))
refused(name='request_key')(lambda: call('request_key', b'user', b'alcove-probe', 0, 0))
NO_FAMILY = ('EAFNOSUPPORT', 'EPROTONOSUPPORT', 'ESOCKTNOSUPPORT', 'EINVAL')
for label, args in {
    'packet_raw': (17, socket.SOCK_RAW, 0), 'packet_dgram': (17, socket.SOCK_DGRAM, 0), 'raw_icmp': (2, socket.SOCK_RAW, 1), 'raw_ip': (2, socket.SOCK_RAW, 255),
    'raw_icmp6': (10, socket.SOCK_RAW, 58), 'netlink_audit': (16, socket.SOCK_RAW, 9), 'netlink_netfilter': (16, socket.SOCK_RAW, 12),
    'netlink_xfrm': (16, socket.SOCK_RAW, 6), 'netlink_uevent': (16, socket.SOCK_RAW, 15), 'vsock': (40, socket.SOCK_STREAM, 0), 'alg': (38, socket.SOCK_SEQPACKET, 0),
    'xdp': (44, socket.SOCK_RAW, 0), 'bluetooth': (31, socket.SOCK_RAW, 1), 'can': (29, socket.SOCK_RAW, 1), 'tipc': (30, socket.SOCK_RDM, 0), 'rds': (21, socket.SOCK_SEQPACKET, 0),
    'key': (15, socket.SOCK_RAW, 2), 'smc': (43, socket.SOCK_STREAM, 0),
}.items():
    refused(*NO_FAMILY, name='socket_' + label)(lambda a=args: socket.socket(*a).close())
refused('EINVAL', name='personality_exec')(lambda: call('personality', 0x0400000))
refused('EINVAL', name='personality_norandom')(lambda: call('personality', 0x0040000))
refused('EOPNOTSUPP', 'ENOTSUP', name='open_by_handle_at')(lambda: call('open_by_handle_at', os.open('/', os.O_RDONLY), struct.pack('Ii8s', 8, 1, b'\2\0\0\0\0\0\0\0'), 0))
refused(name='init_module')(lambda: call('init_module', b'', 0, b''))
refused(name='finit_module')(lambda: call('finit_module', os.open('/etc/passwd', os.O_RDONLY), b'', 0))
refused(name='delete_module')(lambda: call('delete_module', b'alcove-none', os.O_NONBLOCK))
refused(name='kexec_load')(lambda: call('kexec_load', 0, 0, 0, 0))
refused(name='reboot')(lambda: call('reboot', 0xfee1dead, 672274793, 0, 0))  # ctrl-alt-del off
refused(name='settimeofday')(lambda: call('settimeofday', struct.pack('qq', int(time.time()), 0), 0))
refused(name='clock_settime')(lambda: call('clock_settime', 0, struct.pack('qq', int(time.time()), 0)))
refused(name='adjtimex')(lambda: call('adjtimex', struct.pack('Ii', 0x4000, 0) + struct.pack('qqqq', 10000, 0, 0, 0) + bytes(200)))
refused(name='sethostname')(lambda: call('sethostname', socket.gethostname().encode(), len(socket.gethostname())))
refused(name='setdomainname')(lambda: call('setdomainname', b'(none)', 6))
refused(name='iopl')(lambda: call('iopl', 3))
refused(name='ioperm')(lambda: call('ioperm', 0x80, 1, 1))
refused(name='acct')(lambda: call('acct', 0))
refused(name='swapon')(lambda: call('swapon', b'/tmp/alcove-none', 0))
refused(name='swapoff')(lambda: call('swapoff', b'/tmp/alcove-none'))
refused(name='syslog_read')(lambda: call('syslog', 3, ctypes.create_string_buffer(256), 256))
refused(name='syslog_size')(lambda: call('syslog', 10, 0, 0))
refused(name='fanotify')(lambda: call('fanotify_init', 8, 0))
refused(name='kcmp')(lambda: call('kcmp', os.getpid(), os.getpid(), 0, 0, 0))
refused('EINVAL', name='lookup_dcookie')(lambda: call('lookup_dcookie', 1, ctypes.create_string_buffer(64), 64))
refused('ENOENT', 'EINVAL', 'ENODEV', 'ENOTBLK', 'ESRCH', name='quotactl')(lambda: call('quotactl', 0x800001, b'/tmp', 0, 0))
refused('ESRCH', name='ptrace_init')(lambda: call('ptrace', 16, 1, 0, 0))
refused('ESRCH', name='ptrace_parent')(lambda: call('ptrace', 0x4206, os.getppid(), 0, 0))


@refused('ESRCH')
def process_vm_readv():
    here = ctypes.create_string_buffer(8)
    iov = struct.pack('QQ', ctypes.addressof(here), 8)
    call('process_vm_readv', os.getppid(), iov, 1, iov, 1, 0)


@refused('EINVAL')
def setuid_root():
    os.setuid(0)


@refused('EINVAL')
def setgid_root():
    os.setgid(0)


refused('EINVAL', name='setresuid_root')(lambda: os.setresuid(0, 0, 0))
refused('EINVAL', name='setgroups')(lambda: os.setgroups([0]))
refused('EINVAL', name='other_user')(lambda: os.setuid(65534))


@refused()
def mknod_char():
    os.mknod('/tmp/node-c', 0o666 | stat.S_IFCHR, os.makedev(1, 1))


@refused()
def mknod_block():
    os.mknod('/tmp/node-b', 0o666 | stat.S_IFBLK, os.makedev(254, 0))


@refused('EINVAL')
def chown_root():
    open('/tmp/chown', 'w').close()
    os.chown('/tmp/chown', 0, 0)


@refused('EOPNOTSUPP', 'ENOTSUP', 'EINVAL')
def file_capability():
    open('/tmp/capability', 'w').close()
    os.setxattr('/tmp/capability', 'security.capability', struct.pack('<IIIII', 0x02000001, 0xffffffff, 0, 0xffffffff, 0))


refused(name='nice')(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
refused('EINVAL', name='sched_fifo')(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
refused('EINVAL', name='ioprio_realtime')(lambda: call('ioprio_set', 1, 0, 1 << 13))
refused('EINVAL', name='more_open_files')(lambda: value_error(resource.setrlimit, resource.RLIMIT_NOFILE, (65536, 65536)))
refused(name='core_limit')(lambda: value_error(resource.setrlimit, resource.RLIMIT_CORE, (1 << 20, 1 << 20)))


def value_error(fn, *args):
    try:
        fn(*args)
    except ValueError:  # what the resource module makes of EPERM
        raise PermissionError(errno.EPERM, 'not allowed to raise maximum limit')


# Opening may succeed where writing does not. The byte written is the one that
# is there. EBADF is what becomes of a descriptor that can only be read.
UNWRITTEN = ('EROFS', 'ETXTBSY', 'ENOENT', 'EBADF', 'EIO', 'ENODEV', 'EINVAL')


def rewrite(path):
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, os.pread(fd, 1, 0), 0)


def rewrite_mapped(path):
    fd = os.open(path, os.O_RDWR)
    m = mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    m[0] = m[0]
    m.flush()


for who in ('self', '1'):
    refused(*UNWRITTEN, name='overwrite_exe_' + who)(lambda p='/proc/%s/exe' % who: rewrite(p))
    refused(*UNWRITTEN, name='overwrite_exe_mapped_' + who)(lambda p='/proc/%s/exe' % who: rewrite_mapped(p))
    refused(*UNWRITTEN, name='truncate_exe_' + who)(lambda p='/proc/%s/exe' % who: os.truncate(p, os.stat(p).st_size))
    refused(*UNWRITTEN, name='chmod_exe_' + who)(lambda p='/proc/%s/exe' % who: os.chmod(p, 0o777))


@refused('ENOENT', 'EIO', 'EROFS')
def write_init_memory():
    with open('/proc/1/status') as f:
        name = f.readline()
    if name == open('/proc/%d/status' % os.getppid()).readline() and os.getppid() == 1:
        raise PermissionError(errno.EPERM, 'the function itself is process 1: nobody else to harm')
    os.close(os.open('/proc/1/mem', os.O_RDWR))


@refused('ENOENT', 'EROFS', 'EINVAL')
def oom_score():
    fd = os.open('/proc/self/oom_score_adj', os.O_WRONLY)
    os.write(fd, b'-1000')


@refused('ENOTTY', 'EIO', 'EBADF', 'EINVAL', 'ENXIO', 'ENODEV', 'ENOENT')
def inject_terminal():
    import fcntl
    fcntl.ioctl(0, 0x5412, b'x')  # TIOCSTI


@refused()
def x32_abi():
    if COLUMN:
        raise OSError(errno.ENOSYS, 'not on this architecture')
    raw(0x40000000 | 39)


@refused()
def i386_abi():
    """getuid by int 0x80: a filter that looks at numbers alone takes it for
    another call."""
    if COLUMN:
        raise OSError(errno.ENOSYS, 'not on this architecture')
    code = b'\x53\xb8\xc7\x00\x00\x00\xcd\x80\x5b\xc3'  # push rbx; mov eax, 199 (getuid32); int 0x80; pop rbx; ret
    m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    m.write(code)
    fn = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))
    r = fn()
    if r < 0:
        raise OSError(-r, 'refused')


def attempt_all(todo, w):
    """Makes attempts, and writes a line with the error of each, up to the first
    that is not refused: after that this process may not be what it was."""
    for _, fn, ok in todo:
        said = ''
        try:
            fn()
        except OSError as e:
            said = errno.errorcode.get(e.errno, 'errno %d' % e.errno)
        except BaseException as e:
            said = 'broken probe: ' + ' '.join(repr(e).split())
        os.write(w, said.encode() + b'\n')
        if said not in ok:
            break


def run(todo):
    """How attempts end in one process: an error's name, 'killed by N', or ''
    for success. There are fewer if one was not refused, or killed the process."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(r)
        attempt_all(todo, w)
        os._exit(0)
    os.close(w)
    with os.fdopen(r, 'rb') as f:
        said = f.read().decode().split('\n')[:-1]
    _, how = os.waitpid(pid, 0)
    if os.WIFSIGNALED(how):
        said.append('killed by %d' % os.WTERMSIG(how))
    elif not said:
        said.append('broken probe: it ended with %d' % how)
    return said


def collect():
    out = []
    while len(out) < len(TRIED):
        todo = TRIED[len(out):]
        for (name, _, ok), how in zip(todo, run(todo)):
            out.append({'name': name, 'how': how, 'refused': how in ok or how.startswith('killed by')})
    return out


if __name__ == '__main__':
    if os.geteuid() == 0:
        raise SystemExit('denied.py: what root is not refused stays done, its mounts among it: run it in a sandbox or as an ordinary user')
    print(json.dumps(collect(), indent=1))
