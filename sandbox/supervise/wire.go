package supervise

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Where things are inside a sandbox.
const (
	// Name is the program's file in sandbox.ExtensionsDir, and how it knows what it is
	// to be.
	Name = "alcove-supervisor"
	// SocketName is the socket in sandbox.SocketDir to which the supervisor connects
	// before it starts anything. The node takes one connection and no more.
	SocketName = "supervisor.sock"
)

// What the node says, each in a frame: its length in four bytes, one of these, and
// what belongs to it.
const (
	// ToldOrder brings an Order: the extensions are to be started.
	ToldOrder = 'O'
	// ToldRuntime has the runtime started.
	ToldRuntime = 'R'
	// ToldTerminate has the runtime sent SIGTERM.
	ToldTerminate = 'T'
	// ToldSubscription brings a Subscription.
	ToldSubscription = 'S'
	// ToldSettled says that there will be no further subscriptions: what waits for
	// them is forgotten.
	ToldSettled = 'C'
	// ToldRecord brings a record: a byte of kinds, a byte of forms, and JSON.
	ToldRecord = 'D'
	// ToldFlush has everything delivered that waits for more.
	ToldFlush = 'F'
)

// maxFrame bounds a frame: two forms of the longest record, escaped.
const maxFrame = 4 << 20

// Order is what a supervisor runs.
type Order struct {
	Extensions []string `json:"extensions"` // paths
	// ExtensionEnv are the extensions' variables.
	ExtensionEnv []string `json:"extensionEnv"`
	// Args, Env and Dir are the runtime's.
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
}

// Kinds of records, as bits.
const (
	KindPlatform byte = 1 << iota
	KindFunction
	KindExtension
)

// Forms that a record may have, as bits: each subscription takes one of them.
const (
	// FormObject is the Telemetry API's with logs that are JSON as they are.
	FormObject byte = 1 << iota
	// FormString is the Telemetry API's with all logs as strings.
	FormString
	// FormLogs is the Logs API's of 2020-08-15.
	FormLogs
	// FormLogs21 is the Logs API's of 2021-03-18.
	FormLogs21

	AllForms = FormObject | FormString | FormLogs | FormLogs21
)

// Subscription is a listener for telemetry.
type Subscription struct {
	Kinds byte `json:"kinds"`
	Form  byte `json:"form"` // one of them
	// Port is on 127.0.0.1, in the sandbox. With a Path it is spoken to in HTTP.
	Port      int    `json:"port"`
	Path      string `json:"path,omitempty"`
	Put       bool   `json:"put,omitempty"` // the method, instead of POST
	MaxItems  int    `json:"maxItems"`
	MaxBytes  int    `json:"maxBytes"`
	TimeoutMs int    `json:"timeoutMs"`
}

// Told is one thing that the supervisor says: how a process ended, or that it
// could not be started.
type Told struct {
	What byte
	// Index is the extension's in the Order, or RuntimeIndex.
	Index int32
	// Value is a wait status, or an error number.
	Value uint32
}

// RuntimeIndex is Told.Index of the runtime.
const RuntimeIndex = -1

// Values of Told.What.
const (
	SaidEnded      = 'E'
	SaidNotStarted = 'N' // the program
	SaidNoDir      = 'D' // its directory cannot be entered
)

const toldSize = 9

// WriteTold writes t; Read reads it.
func WriteTold(w io.Writer, t Told) error {
	b := append(make([]byte, 0, toldSize), t.What)
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Index))
	b = binary.LittleEndian.AppendUint32(b, t.Value)
	_, err := w.Write(b)
	return err
}

// ReadTold reads what the supervisor says.
func ReadTold(r io.Reader) (Told, error) {
	var b [toldSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Told{}, err
	}
	t := Told{What: b[0], Index: int32(binary.LittleEndian.Uint32(b[1:])), Value: binary.LittleEndian.Uint32(b[5:])}
	if t.What != SaidEnded && t.What != SaidNotStarted && t.What != SaidNoDir {
		return Told{}, fmt.Errorf("supervise: unknown word %q", t.What)
	}
	return t, nil
}

// AppendFrame appends a frame.
func AppendFrame(dst []byte, what byte, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, what)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// AppendJSONFrame appends a frame with v in it, which always marshals.
func AppendJSONFrame(dst []byte, what byte, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers
	}
	return AppendFrame(dst, what, raw)
}

// ReadFrame reads a frame into memory of its own.
func ReadFrame(r io.Reader) (what byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n == 0 || n > maxFrame {
		return 0, nil, errors.New("supervise: malformed frame")
	}
	body = make([]byte, n-1)
	_, err = io.ReadFull(r, body)
	return head[4], body, err
}
