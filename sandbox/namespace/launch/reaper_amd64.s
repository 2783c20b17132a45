#include "textflag.h"

// func reaperText() *byte
TEXT ·reaperText(SB), NOSPLIT, $0-8
	LEAQ ·reaperCode(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// The program that Reaper wraps. It is never called, but copied: it refers to
// nothing outside itself. The stack is as execve leaves it: argc, argv[0],
// argv[1]. BX holds the number of the process to wait for, R15 the stack.
TEXT ·reaperCode(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ SP, R15
	MOVQ 16(R15), SI // argv[1], decimal
	XORL BX, BX

digit:
	MOVBLZX (SI), AX
	TESTL   AX, AX
	JEQ     hide
	IMULL   $10, BX
	LEAL    -48(BX)(AX*1), BX
	INCQ    SI
	JMP     digit

hide:
	MOVL $157, AX // prctl(PR_SET_DUMPABLE, 0)
	MOVL $4, DI
	XORL SI, SI
	SYSCALL

wait:
	MOVL  $61, AX         // wait4(-1, &status, __WALL, NULL)
	MOVQ  $-1, DI
	LEAQ  -16(R15), SI
	MOVL  $0x40000000, DX
	XORL  R10, R10
	TESTL BX, BX
	JEQ   orphans
	SYSCALL
	CMPL  AX, BX
	JEQ   tell
	CMPQ  AX, $-10        // ECHILD
	JNE   wait
	JMP   leave

orphans:
	ORL  $1, DX           // WNOHANG
	SYSCALL
	CMPQ AX, $0
	JGT  wait
	MOVQ $3, -8(R15)      // ppoll({{3, 0, 0}}, 1, {0, 0}, NULL, 0)
	MOVQ $0, -32(R15)
	MOVQ $0, -24(R15)
	MOVL $271, AX
	LEAQ -8(R15), DI
	MOVL $1, SI
	LEAQ -32(R15), DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL
	CMPQ AX, $0           // POLLHUP: the node was gone before it could be told
	JGT  leave
	MOVQ $0x10010000, AX  // rt_sigtimedwait({SIGCHLD, SIGIO}, NULL, NULL, 8)
	MOVQ AX, -8(R15)
	MOVL $128, AX
	LEAQ -8(R15), DI
	XORL SI, SI
	XORL DX, DX
	MOVL $8, R10
	SYSCALL
	CMPQ AX, $29          // SIGIO: the node is gone
	JNE  wait
	JMP  leave

tell:
	MOVL $1, AX       // write(3, &status, 4)
	MOVL $3, DI
	LEAQ -16(R15), SI
	MOVL $4, DX
	SYSCALL

leave:
	MOVL $231, AX // exit_group(0)
	XORL DI, DI
	SYSCALL
	JMP  leave
