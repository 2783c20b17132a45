"""What a sandbox shows to the code in it. Facts only; the suite judges."""
import errno
import os
import resource
import socket
import stat
import sys


def name(e):
    return errno.errorcode.get(e.errno, repr(e))


def read(path, limit=1 << 20):
    try:
        with open(path, 'rb') as f:
            return f.read(limit).decode('utf-8', 'replace')
    except OSError as e:
        return '!' + name(e)


def status():
    lines = read('/proc/self/status').splitlines()
    return {k: v.strip() for k, _, v in (line.partition(':') for line in lines)}


def mounts():
    out = []
    for line in read('/proc/self/mountinfo').splitlines():
        left, _, right = line.partition(' - ')
        left, right = left.split(' '), right.split(' ')
        point = left[4].encode().decode('unicode_escape')
        flags = []
        try:
            flag = os.statvfs(point).f_flag
            flags = [n for n, b in (('ro', os.ST_RDONLY), ('nosuid', os.ST_NOSUID), ('nodev', os.ST_NODEV), ('noexec', os.ST_NOEXEC)) if flag & b]
        except OSError:
            pass
        out.append({'point': point, 'root': left[3], 'options': left[5].split(','), 'type': right[0], 'source': right[1],
                    'super': right[2].split(',') if len(right) > 2 else [], 'flags': flags, 'propagation': left[6:]})
    return out


def walk(top, skip):
    """Every path below top that is on no skipped path, links not followed."""
    todo = [top]
    while todo:
        d = todo.pop()
        yield d
        try:
            entries = list(os.scandir(d))
        except OSError:
            continue
        for e in entries:
            if e.path in skip:
                continue
            if e.is_dir(follow_symlinks=False):
                todo.append(e.path)
            else:
                yield e.path


VOLATILE = {'/proc', '/sys', '/tmp', '/dev'}


def tree():
    """Writable and privileged files in the root, the code and the layers."""
    writable, privileged, specials = [], [], []
    for p in walk('/', VOLATILE):
        st = os.lstat(p)
        if stat.S_ISLNK(st.st_mode):
            continue
        if stat.S_ISDIR(st.st_mode):
            probe = os.path.join(p, '.probe')
            try:
                os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                writable.append(p)
                os.unlink(probe)
            except OSError:
                pass
            continue
        if st.st_mode & (stat.S_ISUID | stat.S_ISGID):
            privileged.append(p)
        if os.access(p, os.W_OK) and not stat.S_ISSOCK(st.st_mode):
            writable.append(p)
        if not stat.S_ISREG(st.st_mode):
            specials.append(p)
    return {'writable': writable, 'privileged': privileged, 'specials': specials}


def tamper():
    """Changes to read-only files that the mode bits alone would not stop."""
    out = {}

    def go(what, fn, *args, **kw):
        try:
            fn(*args, **kw)
            out[what] = ''
        except OSError as e:
            out[what] = name(e)
    for d in ('/', '/etc', '/usr/bin', '/var/task', '/var/runtime', '/opt', '/mnt', '/run', '/run/alcove', '/dev'):
        if os.path.isdir(d):
            go('chmod ' + d, os.chmod, d, 0o777)
            go('mkdir ' + d, os.mkdir, d + '/made')
            go('symlink ' + d, os.symlink, '/tmp', d + '/link')
    go('chmod file', os.chmod, '/etc/passwd', 0o666)
    go('utime file', os.utime, '/etc/passwd')
    go('xattr code', os.setxattr, '/var/task/spare.txt', 'user.x', b'x')
    go('write code', lambda: os.close(os.open('/var/task/spare.txt', os.O_WRONLY)))
    go('truncate code', os.truncate, '/var/task/spare.txt', 0)
    go('utime code', os.utime, '/var/task/spare.txt')
    go('link code', os.link, '/var/task/spare.txt', '/var/task/second.txt')
    go('rename code', os.rename, '/var/task/spare.txt', '/var/task/renamed.txt')
    go('unlink code', os.unlink, '/var/task/spare.txt')
    return out


def processes():
    out = []
    for pid in sorted(int(p) for p in os.listdir('/proc') if p.isdigit()):
        base = '/proc/%d/' % pid
        status = read(base + 'status')
        out.append({'pid': pid, 'cmdline': read(base + 'cmdline').replace('\0', ' '), 'environ': read(base + 'environ'),
                    'uid': next((line.split()[1] for line in status.splitlines() if line.startswith('Uid:')), ''),
                    'root': link(base + 'root'), 'exe': link(base + 'exe')})
    return out


def link(path):
    try:
        return os.readlink(path)
    except OSError as e:
        return '!' + name(e)


SYSCTLS = ['kernel/hostname', 'kernel/core_pattern', 'kernel/modprobe', 'kernel/randomize_va_space', 'kernel/domainname', 'kernel/ns_last_pid',
           'kernel/shmmax', 'kernel/msgmax', 'kernel/sem', 'fs/mqueue/msg_max', 'fs/binfmt_misc/register', 'vm/overcommit_memory', 'vm/drop_caches',
           'net/ipv4/ip_forward', 'net/ipv4/ping_group_range', 'net/core/somaxconn', 'user/max_user_namespaces']


def writes():
    """Opening kernel files for writing, which is all that is tried."""
    out = {}
    for p in ['/proc/sys/' + s for s in SYSCTLS] + ['/proc/sysrq-trigger', '/proc/self/uid_map', '/proc/self/gid_map', '/proc/self/setgroups',
                                                   '/proc/self/loginuid', '/proc/irq/default_smp_affinity', '/proc/timer_list', '/proc/kcore', '/proc/mtrr', '/proc/scsi/scsi']:
        try:
            fd = os.open(p, os.O_WRONLY)
            try:
                # Only a write is judged by the kernel for the maps.
                if p.startswith('/proc/self/'):
                    os.write(fd, b'allow' if p.endswith('setgroups') else b'0' if p.endswith('loginuid') else b'0 0 1')
            finally:
                os.close(fd)
            out[p] = ''
        except OSError as e:
            out[p] = name(e)
    return out


HIDDEN = ['/proc/kcore', '/proc/kmsg', '/proc/keys', '/proc/key-users', '/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/latency_stats', '/proc/slabinfo',
          '/proc/vmallocinfo', '/proc/pagetypeinfo', '/proc/kpagecount', '/proc/kpageflags', '/proc/iomem', '/proc/ioports', '/proc/modules', '/proc/kallsyms', '/proc/config.gz',
          '/proc/interrupts', '/proc/cmdline', '/proc/partitions', '/proc/diskstats', '/proc/swaps', '/proc/mdstat', '/proc/bus', '/proc/fs', '/proc/acpi', '/proc/asound', '/proc/scsi',
          '/proc/driver', '/proc/tty/drivers', '/proc/sys/kernel/core_pattern', '/proc/sys/kernel/random/boot_id', '/dev/kmsg', '/dev/mem', '/dev/port']


def hidden():
    """What can be read of files that tell of the host: how many bytes or
    entries, or the error."""
    out = {}
    for p in HIDDEN:
        try:
            if os.path.isdir(p):
                out[p] = str(len(os.listdir(p)))
            else:
                fd = os.open(p, os.O_RDONLY | os.O_NONBLOCK)
                try:
                    out[p] = str(len(os.read(fd, 4096)))
                finally:
                    os.close(fd)
        except OSError as e:
            out[p] = '!' + name(e)
    return out


def devices():
    out = {}
    for p in walk('/dev', {'/dev/shm', '/dev/pts'}):
        st = os.lstat(p)
        if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            out[p] = '%s %d:%d' % ('c' if stat.S_ISCHR(st.st_mode) else 'b', os.major(st.st_rdev), os.minor(st.st_rdev))
        elif stat.S_ISLNK(st.st_mode):
            out[p] = 'link ' + os.readlink(p)
        elif stat.S_ISREG(st.st_mode):
            out[p] = 'file'
    return out


def sysfs():
    return [p for p in list(walk('/sys', set()))[:2000] if not os.path.isdir(p)]


def same(a, b):
    """'' if both paths are the same directory, the error if b cannot be seen."""
    try:
        x, y = os.stat(a), os.stat(b)
        return '' if (x.st_dev, x.st_ino) == (y.st_dev, y.st_ino) else 'another directory'
    except OSError as e:
        return name(e)


def volatile():
    out = {}
    for p in ('/tmp', '/dev/shm'):
        st = os.stat(p)
        out[p] = {'mode': oct(stat.S_IMODE(st.st_mode)), 'entries': os.listdir(p)}
    return out


def ioctl_tty():
    try:
        os.close(os.open('/dev/tty', os.O_RDWR))
        return ''
    except OSError as e:
        return name(e)


def collect():
    return {
        'status': status(), 'mounts': mounts(), 'tree': tree(), 'tamper': tamper(), 'processes': processes(), 'writes': writes(), 'hidden': hidden(),
        'devices': devices(), 'sysfs': sysfs(), 'hostname': socket.gethostname(), 'domain': os.uname().nodename,
        'interfaces': [n for _, n in socket.if_nameindex()], 'net': {p: read('/proc/net/' + p) for p in ('unix', 'tcp', 'tcp6', 'udp', 'route')},
        'cgroup': read('/proc/self/cgroup'), 'roots': {p: same('/', p) for p in ('/..', '/proc/1/root', '/proc/self/root')},
        'volatile': volatile(), 'tty': ioctl_tty(), 'mountinfo': read('/proc/self/mountinfo') + read('/proc/1/mountinfo') + read('/proc/mounts'),
        'limits': {n: resource.getrlimit(getattr(resource, 'RLIMIT_' + n)) for n in ('CORE', 'NOFILE', 'RTPRIO', 'NICE', 'MEMLOCK', 'MSGQUEUE')},
        'cpuinfo': len(read('/proc/cpuinfo')), 'euid': os.geteuid(), 'pid': os.getpid(), 'argv': sys.argv,
    }
