#include "textflag.h"

// func reaperText() *byte
TEXT ·reaperText(SB), NOSPLIT, $0-8
	MOVD $·reaperCode(SB), R0
	MOVD R0, ret+0(FP)
	RET

// The program that Reaper wraps. It is never called, but copied: it refers to
// nothing outside itself. The stack is as execve leaves it: argc, argv[0],
// argv[1]. R20 holds the number of the process to wait for, R21 the stack.
TEXT ·reaperCode(SB), NOSPLIT|NOFRAME, $0-0
	MOVD RSP, R21
	MOVD 16(R21), R19 // argv[1], decimal
	MOVD $0, R20
	MOVD $10, R22

digit:
	MOVBU (R19), R0
	CBZ   R0, hide
	MUL   R22, R20, R20
	SUB   $48, R0, R0
	ADD   R0, R20, R20
	ADD   $1, R19, R19
	B     digit

hide:
	MOVD $4, R0   // prctl(PR_SET_DUMPABLE, 0)
	MOVD $0, R1
	MOVD $167, R8
	SVC

wait:
	MOVD $-1, R0         // wait4(-1, &status, __WALL, NULL)
	SUB  $16, R21, R1
	MOVD $0x40000000, R2
	MOVD $0, R3
	MOVD $260, R8
	CBZW R20, orphans
	SVC
	CMPW R20, R0
	BEQ  tell
	CMN  $10, R0         // ECHILD
	BNE  wait
	B    leave

orphans:
	ORR  $1, R2          // WNOHANG
	SVC
	CMP  $0, R0
	BGT  wait
	MOVD $3, R0          // ppoll({{3, 0, 0}}, 1, {0, 0}, NULL, 0)
	MOVD R0, -8(R21)
	MOVD ZR, -32(R21)
	MOVD ZR, -24(R21)
	SUB  $8, R21, R0
	MOVD $1, R1
	SUB  $32, R21, R2
	MOVD $0, R3
	MOVD $0, R4
	MOVD $73, R8
	SVC
	CMP  $0, R0          // POLLHUP: the node was gone before it could be told
	BGT  leave
	MOVD $0x10010000, R0 // rt_sigtimedwait({SIGCHLD, SIGIO}, NULL, NULL, 8)
	MOVD R0, -8(R21)
	SUB  $8, R21, R0
	MOVD $0, R1
	MOVD $0, R2
	MOVD $8, R3
	MOVD $137, R8
	SVC
	CMP  $29, R0         // SIGIO: the node is gone
	BNE  wait
	B    leave

tell:
	MOVD $3, R0       // write(3, &status, 4)
	SUB  $16, R21, R1
	MOVD $4, R2
	MOVD $64, R8
	SVC

leave:
	MOVD $0, R0  // exit_group(0)
	MOVD $94, R8
	SVC
	B    leave
