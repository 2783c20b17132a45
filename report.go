package alcove

import (
	"encoding/json"
	"strconv"
)

// AppendJSON appends what encoding/json makes of r, to the byte. One is made for every
// invocation, at a fifth of the time; a test holds it to encoding/json.
func (r *Report) AppendJSON(b []byte) ([]byte, error) {
	w := reportWriter{b: append(b, '{')}
	w.text("requestId", r.RequestID)
	w.text("functionId", r.FunctionID)
	w.text("function", r.Function)
	w.text("version", r.Version)
	w.someText("tenant", string(r.Tenant))
	w.text("environment", r.Environment)
	w.text("isolation", r.Isolation)
	w.name("started")
	w.b = append(w.b, '"')
	var err error
	if w.b, err = r.Started.AppendText(w.b); err != nil {
		return b, err
	}
	w.b = append(w.b, '"')
	w.number("queued", int64(r.Queued))
	w.number("duration", int64(r.Duration))
	w.number("billed", int64(r.Billed))
	w.number("init", int64(r.Init))
	w.text("start", string(r.Start))
	w.someText("startReason", r.StartReason)
	w.text("status", string(r.Status))
	w.someText("errorType", r.ErrorType)
	w.number("memorySize", int64(r.MemorySize))
	w.number("maxMemoryUsed", int64(r.MaxMemoryUsed))
	w.number("bytesIn", int64(r.BytesIn))
	w.number("bytesOut", int64(r.BytesOut))
	w.someText("architecture", r.Architecture)
	w.some("ephemeral", int64(r.Ephemeral))
	w.some("logBytes", r.LogBytes)
	w.some("networkIn", r.NetworkIn)
	w.some("networkOut", r.NetworkOut)
	w.some("connections", r.Connections)
	w.some("queueBytes", r.QueueBytes)
	w.someText("caller", r.Caller)
	w.someText("accessKeyId", r.AccessKey)
	if r.Source.IsValid() {
		w.text("source", r.Source.String())
	}
	w.someText("invokedArn", r.InvokedARN)
	if r.Bound {
		w.name("bound")
		w.b = append(w.b, "true"...)
	}
	w.someText("provisioned", r.Provisioned)
	w.some("attempt", int64(r.Attempt))
	return append(w.b, '}'), nil
}

// reportWriter writes the members of an object.
type reportWriter struct{ b []byte }

func (w *reportWriter) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *reportWriter) number(name string, n int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

// some is number for a member that is left out if it is zero.
func (w *reportWriter) some(name string, n int64) {
	if n != 0 {
		w.number(name, n)
	}
}

func (w *reportWriter) text(name, s string) {
	w.name(name)
	if !plainText(s) {
		quoted, _ := json.Marshal(s) // strings always marshal
		w.b = append(w.b, quoted...)
		return
	}
	w.b = append(append(append(w.b, '"'), s...), '"')
}

// someText is text for a member that is left out if it is empty.
func (w *reportWriter) someText(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

// plainText says whether encoding/json writes s as it is.
func plainText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
