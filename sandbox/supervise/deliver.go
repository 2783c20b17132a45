package supervise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// deliveryTime is how long a listener may take for a batch.
const deliveryTime = 5 * time.Second

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

// deliverTo gives what takes batches to a subscription's listener. It is always
// one in the sandbox.
func deliverTo(s Subscription) func([][]byte) error {
	address := "127.0.0.1:" + strconv.Itoa(s.Port)
	if s.Path == "" {
		return (&lines{address: address}).deliver
	}
	method := "POST"
	if s.Put {
		method = "PUT"
	}
	return func(batch [][]byte) error { return post(method, address, s.Path, batch) }
}

// lines is a connection on which each record is a line.
type lines struct {
	address string
	conn    net.Conn
}

func (l *lines) deliver(batch [][]byte) (err error) {
	if l.conn == nil {
		if l.conn, err = net.DialTimeout("tcp", l.address, deliveryTime); err != nil {
			l.conn = nil
			return err
		}
	}
	_ = l.conn.SetDeadline(time.Now().Add(deliveryTime))
	w := bufio.NewWriterSize(l.conn, 16<<10)
	for _, r := range batch {
		_, _ = w.Write(r) // Flush tells
		_ = w.WriteByte('\n')
	}
	if err = w.Flush(); err != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
	return err
}

// post sends a batch as the body of a request, a JSON array.
func post(method, address, path string, batch [][]byte) error {
	c, err := net.DialTimeout("tcp", address, deliveryTime)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(deliveryTime))
	size := len("[]") + max(0, len(batch)-1)
	for _, r := range batch {
		size += len(r)
	}
	_, port, _ := strings.Cut(address, ":")
	w := bufio.NewWriterSize(c, 16<<10)
	fmt.Fprintf(w, "%s %s HTTP/1.1\r\nHost: sandbox.localdomain:%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n", method, path, port, size)
	_ = w.WriteByte('[')
	for i, r := range batch {
		if i > 0 {
			_ = w.WriteByte(',')
		}
		_, _ = w.Write(r)
	}
	_ = w.WriteByte(']')
	if err := w.Flush(); err != nil {
		return err
	}
	answer := bufio.NewReader(io.LimitReader(c, maxAnswer))
	for { // past "100 Continue" and the like
		status, err := answer.ReadString('\n')
		if err != nil {
			return err
		}
		fields := strings.Fields(status)
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "HTTP/1.") || len(fields[1]) != 3 {
			return errors.New("no HTTP answer")
		}
		switch fields[1][0] {
		case '2', '3':
			_, _ = io.Copy(io.Discard, answer) // so that its connection ends well
			return nil
		case '1':
			for line := ""; line != "\r\n" && line != "\n"; {
				if line, err = answer.ReadString('\n'); err != nil {
					return err
				}
			}
		default:
			return errors.New("refused: " + fields[1])
		}
	}
}

// droppedRecord is platform.logsDropped.
func droppedRecord(now time.Time, records, bytes int) []byte {
	return fmt.Appendf(nil, `{"time":"%s","type":"platform.logsDropped","record":{"droppedBytes":%d,"droppedRecords":%d,"reason":"%s"}}`,
		now.UTC().Format("2006-01-02T15:04:05.000Z"), bytes, records, "Some logs were dropped because the downstream consumer is slower than the logs production rate")
}
