package seccomp

import "golang.org/x/sys/unix"

// auditArch is what the kernel tells of calls from 64-bit code.
const auditArch = unix.AUDIT_ARCH_AARCH64

// allowedHere are calls whose names differ between architectures.
var allowedHere = []int{unix.SYS_FSTATAT}

var refusedHere = []int{unix.SYS_LOOKUP_DCOOKIE}
