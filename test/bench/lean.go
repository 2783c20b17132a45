package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A stream is one connection's worth of requests, each sent when the one before
// has been answered.
type stream struct {
	// next gives the bytes of the next request, or nil when there are no more.
	// It is not part of any measured time.
	next func() []byte
	// every is the pace: a request is due at first, first+every, …, and its time
	// counts from when it was due, so that a late answer is not hidden by what
	// was not sent meanwhile. Zero sends at once.
	every time.Duration
	first time.Duration // from the beginning of the run
	// ends is when the last request is sent at the latest; zero is no limit.
	ends time.Duration
	// seen is told of each answer, if set: its header, without the empty line.
	seen func(header []byte, took time.Duration)

	took []time.Duration

	fd      int
	request []byte // under way, or due
	due     time.Time
	waiting bool // for an answer
	in      []byte
}

// maxAnswer bounds an answer; those of the bench's functions are small.
const maxAnswer = 64 << 10

// runStreams sends all that the streams have to addr and returns when all is
// answered. It is one thread with one epoll set and prepared bytes, because
// what it costs is taken from what it measures.
func runStreams(addr string, streams []*stream) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l, err := newLoop(addr, streams)
	if err != nil {
		return 0, err
	}
	defer l.close()
	began := time.Now()
	for _, s := range streams {
		s.due = began.Add(s.first)
		l.left++
		if err := l.advance(s, began); err != nil {
			return 0, err
		}
	}
	err = l.run(began)
	return time.Since(began), err
}

// loop drives streams.
type loop struct {
	streams []*stream
	epoll   int
	timer   int
	began   time.Time
	left    int // streams that are not done
}

func newLoop(addr string, streams []*stream) (l *loop, err error) {
	l = &loop{streams: streams, epoll: -1, timer: -1}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	for _, s := range streams {
		s.fd = -1
	}
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return l, err
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return l, err
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return l, err
	}
	if err := l.watch(l.timer, -1); err != nil {
		return l, err
	}
	for i, s := range streams {
		if s.fd, err = connect(to); err != nil {
			return l, err
		}
		if err := l.watch(s.fd, i); err != nil {
			return l, err
		}
		s.in = make([]byte, 0, 4096)
	}
	return l, nil
}

func (l *loop) watch(fd, i int) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
}

func (l *loop) close() {
	for _, s := range l.streams {
		if s.fd >= 0 {
			unix.Close(s.fd)
		}
	}
	for _, fd := range []int{l.epoll, l.timer} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func connect(to *net.TCPAddr) (int, error) {
	ip := to.IP.To4()
	if ip == nil {
		return -1, fmt.Errorf("%s: only IPv4", to)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	sa := &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(ip)}
	if err := errors.Join(unix.Connect(fd, sa), unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetNonblock(fd, true)); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// patience bounds the wait for any answer.
const patience = time.Minute

func (l *loop) run(began time.Time) error {
	l.began = began
	events := make([]unix.EpollEvent, 64)
	for l.left > 0 {
		if err := l.arm(); err != nil {
			return err
		}
		n, err := unix.EpollWait(l.epoll, events, int(patience/time.Millisecond))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return errors.New("no answer for a minute")
		}
		now := time.Now()
		for _, e := range events[:n] {
			if e.Fd < 0 {
				var expired [8]byte
				_, _ = unix.Read(l.timer, expired[:])
				continue
			}
			if err := l.readable(l.streams[e.Fd], now); err != nil {
				return err
			}
		}
		for _, s := range l.streams {
			if s.request != nil && !s.waiting && !s.due.After(now) {
				if err := l.send(s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// arm sets the timer for the earliest request that is due later.
func (l *loop) arm() error {
	var earliest time.Time
	for _, s := range l.streams {
		if s.every > 0 && s.request != nil && !s.waiting && (earliest.IsZero() || s.due.Before(earliest)) {
			earliest = s.due
		}
	}
	if earliest.IsZero() {
		return nil
	}
	in := max(time.Until(earliest), 1)
	return unix.TimerfdSettime(l.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(in))}, nil)
}

// advance takes up the next request of s, and sends it if it is due.
func (l *loop) advance(s *stream, now time.Time) error {
	if s.request != nil && s.every > 0 {
		s.due = s.due.Add(s.every)
	}
	s.request = nil
	if s.ends == 0 || s.due.Sub(l.began) < s.ends || l.began.IsZero() {
		s.request = s.next()
	}
	switch {
	case s.request == nil:
		l.left--
		return nil
	case s.every == 0 && s.first == 0:
		s.due = time.Now()
		return l.send(s)
	case !s.due.After(now):
		return l.send(s)
	}
	return nil
}

func (l *loop) send(s *stream) error {
	n, err := unix.Write(s.fd, s.request)
	if err != nil {
		return err
	}
	if n < len(s.request) {
		return errors.New("a request does not fit the socket's buffer")
	}
	s.waiting = true
	return nil
}

// readable takes what has come for s.
func (l *loop) readable(s *stream, now time.Time) error {
	n, err := unix.Read(s.fd, s.in[len(s.in):cap(s.in)])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return err
	case n == 0:
		return errors.New("the node hung up")
	}
	s.in = s.in[:len(s.in)+n]
	header, whole, err := answer(s.in)
	if err != nil {
		return err
	}
	if !whole {
		if len(s.in) == cap(s.in) {
			if cap(s.in) >= maxAnswer {
				return errors.New("an answer is too long")
			}
			s.in = append(make([]byte, 0, 2*cap(s.in)), s.in...)
		}
		return nil
	}
	if !s.waiting {
		return errors.New("an answer to nothing")
	}
	s.waiting = false
	took := now.Sub(s.due)
	s.took = append(s.took, took)
	if s.seen != nil {
		s.seen(header, took)
	}
	s.in = s.in[:0]
	return l.advance(s, now)
}

var (
	emptyLine     = []byte("\r\n\r\n")
	okay          = []byte("HTTP/1.1 200 ")
	accepted      = []byte("HTTP/1.1 202 ")
	lengthHeader  = []byte("\r\nContent-Length: ")
	failedHeader  = []byte("\r\nX-Amz-Function-Error: ")
	chunkedHeader = []byte("\r\nTransfer-Encoding: chunked")
	lastChunk     = []byte("\r\n0\r\n\r\n")
)

// answer says whether b is a whole answer, and that of a function that worked.
func answer(b []byte) (header []byte, whole bool, err error) {
	end := bytes.Index(b, emptyLine)
	if end < 0 {
		return nil, false, nil
	}
	header = b[:end]
	_, rest, ok := bytes.Cut(header, lengthHeader)
	switch {
	case ok:
		digits, _, _ := bytes.Cut(rest, emptyLine[:2])
		size, err := strconv.Atoi(string(digits))
		if err != nil {
			return header, false, err
		}
		if len(b) < end+len(emptyLine)+size {
			return header, false, nil
		}
	case bytes.Contains(header, chunkedHeader): // as emulators answer
		if !bytes.HasSuffix(b, lastChunk) {
			return header, false, nil
		}
	default:
		return header, false, fmt.Errorf("an answer without a length: %s", header)
	}
	if !bytes.HasPrefix(b, okay) && !bytes.HasPrefix(b, accepted) || bytes.Contains(header, failedHeader) {
		return header, true, fmt.Errorf("%s", b)
	}
	return header, true, nil
}

// headerOf is the value of a header line, or "".
func headerOf(header []byte, name string) string {
	_, rest, _ := bytes.Cut(header, []byte("\r\n"+name+": "))
	value, _, _ := bytes.Cut(rest, emptyLine[:2])
	return string(value)
}

// same sends one request n times.
func same(request []byte, n int) func() []byte {
	return func() []byte {
		if n--; n < 0 {
			return nil
		}
		return request
	}
}
