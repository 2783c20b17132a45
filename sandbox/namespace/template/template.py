# What a template executes (package namespace, template.go): it forks a sandbox's
# first process whenever the node asks for one, and returns in that process once it
# is confined. Nothing that it is told or holds is of one sandbox: it forgets an
# order's descriptors at once, and the order has no other secrets.
#
# An order is words of 64 bits, a header and then the calls that confine a program
# (package launch, Tape). With it come descriptors, which have to arrive with the
# numbers from 4 on: SYNC, HOME, stdout, stderr, then as the header says the log, the
# cgroup to be born in, and files of cgroups to enter. The sandbox may still be in the
# making then: the child is told through SYNC when it may go into it.
#
# Whoever executes this may give a function by the name of rehearse, which does what
# the processes do after this returns. Before any is born, a scout does it, of which
# nothing is used but where it has written: there each process gets its own copies of
# the template's memory at once, which takes less than one by one as it writes.

def _fork_sandboxes(rehearse):
    import _socket
    import ctypes
    import gc
    import os
    import sys

    CONTROL, SYNC, HOME, RULES, FIRST = 3, 4, 5, 5, 4
    PARENT, CHILD_CLEARTID, CHILD_SETTID, INTO_CGROUP = 0x8000, 0x200000, 0x1000000, 0x200000000
    NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
        0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
    CLONE3, CLOSE_RANGE, PIDFD_OPEN, F_DUPFD = 435, 436, 434, 0
    GET_TID_ADDRESS, SET_SECUREBITS, NO_SETUID_FIXUP = 40, 28, 4
    PROCESS_MADVISE, OWN_PIDFD, POPULATE_WRITE = 440, -10001, 23

    control = _socket.socket(fileno=CONTROL)
    # The lock on the interpreter stays held: a child has to have it.
    libc = ctypes.PyDLL(None, use_errno=True)
    python = ctypes.pythonapi

    def refuse(why):
        control.send(b"E" + why.encode())
        os._exit(1)

    if not hasattr(libc, "gnu_get_libc_version"):
        refuse("the C library is not glibc")
    libc.syscall.restype = ctypes.c_long
    libc.syscall.argtypes = [ctypes.c_long] * 7

    def kernel(number, a=0, b=0, c=0, d=0, e=0, f=0):
        r = libc.syscall(number, a, b, c, d, e, f)
        if r == -1:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return r

    def check(r):
        if r == -1:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    # Where the C library keeps the number of this thread, which a fork changes.
    tid = ctypes.c_void_p()
    if libc.prctl(GET_TID_ADDRESS, ctypes.byref(tid), 0, 0, 0) != 0 or not tid.value:
        refuse("the kernel does not tell the address of the thread's number")
    if ctypes.c_int.from_address(tid.value).value != os.getpid():
        refuse("the thread's number is not where the kernel says")

    def forked(order, fds):
        """0 in the child, its number in the template."""
        log, cgroup, tasks, get_robust, set_robust = order[:5]
        if fds != list(range(FIRST, FIRST + 4 + log + cgroup + tasks)):
            raise OSError(0, "descriptors %r" % fds)
        args = (ctypes.c_uint64 * 11)()
        args[0] = PARENT | CHILD_SETTID | CHILD_CLEARTID
        args[2] = tid.value
        if cgroup:
            args[0] |= INTO_CGROUP
            args[10] = fds[4 + log]
        robust = (ctypes.c_uint64 * 2)()
        kernel(get_robust, 0, ctypes.addressof(robust), ctypes.addressof(robust) + 8)
        check(libc.setns(HOME, NEWPID))
        pid = -1
        try:
            python.PyOS_BeforeFork()
            pid = libc.syscall(CLONE3, ctypes.addressof(args), 88, 0, 0, 0, 0)
            error = ctypes.get_errno()
            if pid == 0:
                try:
                    # First, for what is written to from here on is the sandbox's memory.
                    for fd in fds[4 + log + cgroup:]:
                        check(libc.write(fd, b"0", 1))
                    own()
                    python.PyOS_AfterFork_Child()
                    kernel(set_robust, robust[0], robust[1])
                except BaseException:
                    os._exit(127)  # a second template would be the alternative
                return 0
            python.PyOS_AfterFork_Parent()
        finally:
            if pid != 0 and libc.setns(me, NEWPID) != 0:
                lost.append(True)
        if pid == -1:
            raise OSError(error, os.strerror(error))
        return pid

    def confine(order, fds):
        log = order[0]
        user = order[5]
        sync = _socket.socket(fileno=SYNC)
        built, notes, _, _ = sync.recvmsg(1, _socket.CMSG_SPACE(4))
        sync.detach()
        if built != b"B":
            os._exit(127)
        rules = memoryview(notes[0][2]).cast("i")[0]
        check(libc.setns(HOME, NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWNET))
        # Whoever makes a user namespace is charged for what is counted in it, up to
        # the limits of that user on the host.
        check(libc.prctl(SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0))
        check(libc.seteuid(user))
        check(libc.unshare(NEWUSER))
        control.detach()
        os.dup2(rules, RULES)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)  # the template's is everybody's
        os.dup2(fds[2], 1)
        os.dup2(fds[3], 2)
        if log:
            os.dup2(fds[4], 3)
        else:
            os.close(3)
        kernel(CLOSE_RANGE, RULES + 1, 0xffffffff)
        os.write(SYNC, b"U")
        if os.read(SYNC, 1) != b"G":
            os._exit(127)
        play(order[6:])
        os.close(RULES)
        threading = sys.modules.get("threading")
        if threading is not None:  # some versions keep the template's number
            threading.main_thread()._set_native_id()
        os.write(SYNC, b"S")
        os.close(SYNC)

    def play(tape):
        calls, links, _ = tape[:3]
        links_at = 3 + 9 * calls
        data_at = links_at + 2 * links
        data = ctypes.create_string_buffer(bytes(tape[data_at:]) or bytes(8))
        base = ctypes.addressof(data)
        for i in range(links_at, data_at, 2):
            ctypes.c_uint64.from_buffer(data, tape[i]).value = base + tape[i + 1]
        for i in range(3, links_at, 9):
            number, mask, step = tape[i:i + 3]
            args = [a + base if mask >> n & 1 else a for n, a in enumerate(tape[i + 3:i + 9])]
            if libc.syscall(number, *args) == -1 and not mask & 256:
                os.write(SYNC, b"E" + step.to_bytes(8, "little") + ctypes.get_errno().to_bytes(8, "little"))
                os._exit(127)

    def scout():
        """Where the node has found that processes of this template write: an array of struct iovec."""
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(w)
            try:
                rehearse()
            finally:
                control.send(b"W" + os.getpid().to_bytes(8, "little"))
                os.read(r, 1)
                os._exit(0)
        os.close(r)
        found = control.recv(1 << 17)
        os.close(w)
        os.waitpid(pid, 0)
        return ctypes.create_string_buffer(found, max(len(found), 1)), len(found) // 16

    def own():
        """Has this process get its own copies. Where that cannot be, it gets them later."""
        if written[1] == 0 or libc.syscall(PROCESS_MADVISE, OWN_PIDFD, ctypes.addressof(written[0]), written[1], POPULATE_WRITE, 0, 0) != -1:
            return
        for at in range(0, 16 * written[1], 16):  # Linux before 6.14
            start, size = (ctypes.c_uint64 * 2).from_buffer(written[0], at)
            if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), POPULATE_WRITE) == -1:
                return

    lost = []  # not empty: this process no longer forks into its own pid namespace
    me = kernel(PIDFD_OPEN, os.getpid())
    check(libc.fcntl(me, F_DUPFD, 64))
    os.close(me)
    me = 64
    gc.collect()
    gc.freeze()  # what is here now is not looked at again, and so not copied
    written = scout() if rehearse else (None, 0)
    gc.freeze()
    control.send(b"R")
    while True:
        packet, notes, _, _ = control.recvmsg(1 << 17, _socket.CMSG_SPACE(4 * 64))
        if not packet:
            os._exit(0)  # the node is no more
        fds = [fd for note in notes for fd in memoryview(note[2]).cast("i")]
        order = memoryview(packet).cast("Q")
        pid = -1
        try:
            pid = forked(order, fds)
            if pid == 0:
                confine(order, fds)
                return
            answer = b"P" + pid.to_bytes(8, "little")
        except BaseException as e:
            if pid == 0:
                os._exit(127)  # never on, half confined
            answer = b"E" + repr(e).encode()
        for fd in fds:
            os.close(fd)
        # Whoever was born is answered for: the node is its parent.
        control.send(answer)
        if lost:
            os._exit(1)  # the next would be born in a sandbox of another's


_fork_sandboxes(globals().get("rehearse"))
