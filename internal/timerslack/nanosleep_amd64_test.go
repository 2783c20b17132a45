package timerslack_test

// nanosleep is SYS_NANOSLEEP as /proc/PID/syscall writes it.
const nanosleep = "35"
