package environment

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove/runtimeapi"
	"github.com/alcove-run/alcove/telemetry"
)

// maxExtensions is how many an environment may have, of both kinds.
const maxExtensions = 10

// States of extensions, as AWS names them.
const (
	extStarted     = "Started" // its process runs
	extRegistered  = "Registered"
	extReady       = "Ready"   // it waits for an event
	extRunning     = "Running" // it has one
	extInitError   = "InitError"
	extExitError   = "ExitError"
	extExited      = "Exited"
	extLaunchError = "LaunchError"
)

// extension is a process of its own (an external one), or a part of the runtime's
// (an internal one). It belongs to the environment's goroutine.
type extension struct {
	id, name  string
	external  bool
	state     string
	events    []string
	errorType string
	// waiting is a request at /next; event is what waits for one.
	waiting chan runtimeapi.ExtensionEvent
	event   *runtimeapi.ExtensionEvent
	// working says that it has been given an invocation and not come back.
	working bool
	// subscribed says that it has a listener for telemetry.
	subscribed bool
	gone       bool // its process has ended
}

func (x *extension) wants(event string) bool { return slices.Contains(x.events, event) }

// extensions are those of one environment.
type extensions struct {
	all    []*extension
	closed bool // nobody may register any more
}

func (s *extensions) byID(id string) *extension {
	for _, x := range s.all {
		if x.id == id && id != "" {
			return x
		}
	}
	return nil
}

// ready tells whether all that have registered, and all that were started, wait
// for their first event.
func (s *extensions) ready() bool {
	for _, x := range s.all {
		if x.state != extReady {
			return false
		}
	}
	return true
}

// registered tells whether all that were started have registered.
func (s *extensions) registered() bool {
	for _, x := range s.all {
		if x.state == extStarted {
			return false
		}
	}
	return true
}

// working tells whether an invocation is at one of them.
func (s *extensions) working() bool {
	return slices.ContainsFunc(s.all, func(x *extension) bool { return x.working })
}

// give gives an event to those that want it.
func (s *extensions) give(ev runtimeapi.ExtensionEvent) {
	for _, x := range s.all {
		if !x.wants(ev.Type) || x.gone {
			continue
		}
		x.working = ev.Type == runtimeapi.EventInvoke
		x.event = &ev
		x.hand()
	}
}

// hand hands over an event, if there is one and it is waited for.
func (x *extension) hand() {
	if x.event == nil || x.waiting == nil {
		return
	}
	x.waiting <- *x.event // has room for one
	x.waiting, x.event, x.state = nil, nil, extRunning
}

// register takes a new extension, or one whose process was started.
func (e *Environment) register(name string, events []string) (runtimeapi.Registered, error) {
	i := slices.IndexFunc(e.ext.all, func(x *extension) bool { return x.name == name })
	started := i >= 0 && e.ext.all[i].external
	for _, event := range events {
		if event != runtimeapi.EventInvoke && (event != runtimeapi.EventShutdown || !started) {
			return runtimeapi.Registered{}, &runtimeapi.Refusal{Type: runtimeapi.TypeInvalidEvent, Message: event + ": ErrorInvalidEventType"}
		}
	}
	switch {
	case e.blank(), e.closing:
		return runtimeapi.Registered{}, &runtimeapi.Refusal{Type: runtimeapi.TypeRegistrationOver, Message: "Extension registration closed already"}
	case started && e.ext.all[i].state != extStarted:
		return runtimeapi.Registered{}, runtimeapi.BadTransition(e.ext.all[i].state, extRegistered, name)
	case started:
	case e.ext.closed:
		return runtimeapi.Registered{}, &runtimeapi.Refusal{Type: runtimeapi.TypeRegistrationOver, Message: "Extension registration closed already"}
	case i >= 0:
		return runtimeapi.Registered{}, &runtimeapi.Refusal{Type: runtimeapi.TypeInvalidState, Message: "Extension with this name already registered"}
	case len(e.ext.all) >= maxExtensions:
		return runtimeapi.Registered{}, &runtimeapi.Refusal{Type: runtimeapi.TypeTooManyExtensions, Message: "Extension limit (10) reached"}
	case e.begunAgain():
		return runtimeapi.Registered{}, &runtimeapi.Refusal{Type: runtimeapi.TypeRegistrationOver, Message: "Extension registration closed already"}
	default:
		e.ext.all = append(e.ext.all, &extension{name: name})
		i = len(e.ext.all) - 1
	}
	x := e.ext.all[i]
	x.id, x.state = uuid.NewString(), extRegistered
	for _, event := range events {
		if !x.wants(event) {
			x.events = append(x.events, event)
		}
	}
	if x.external && e.ext.registered() {
		e.startRuntime()
	}
	v := e.cfg.Version
	return runtimeapi.Registered{ID: x.id, Function: v.Name, Version: v.Number, Handler: v.Config.Handler, Account: accountOf(v.ARN)}, nil
}

// awaits is an extension at /next. What it waits on gets one event.
func (e *Environment) awaits(id string) (chan runtimeapi.ExtensionEvent, error) {
	x := e.ext.byID(id)
	switch {
	case x == nil:
		return nil, unknownExtension(id)
	case x.waiting != nil, x.state != extRegistered && x.state != extRunning && x.state != extReady:
		return nil, runtimeapi.BadTransition(x.state, extReady, id)
	}
	first := x.state == extRegistered
	x.waiting, x.state = make(chan runtimeapi.ExtensionEvent, 1), extReady
	waiting := x.waiting
	if x.event != nil {
		x.hand()
		return waiting, nil
	}
	was := x.working
	x.working = false
	switch {
	case first:
		e.initialised()
	case was && !e.ext.working():
		e.extensionsDone()
	}
	return waiting, nil
}

// leaves is an extension whose request at /next is gone. It may ask again.
func (e *Environment) leaves(id string, waiting chan runtimeapi.ExtensionEvent) {
	x := e.ext.byID(id)
	if x == nil {
		return
	}
	if x.waiting == waiting {
		x.waiting = nil
		return
	}
	select { // handed out to nobody
	case ev := <-waiting:
		if x.event == nil && x.state == extRunning {
			x.event = &ev
			x.state = extReady
		}
	default:
	}
}

// failed is an extension's word that it has failed; the environment ends with it.
func (e *Environment) extensionFailed(id string, inInit bool, errorType string) error {
	x := e.ext.byID(id)
	state, kind := extExitError, "Extension.ExitError"
	if inInit {
		state, kind = extInitError, "Extension.InitError"
	}
	switch {
	case x == nil:
		return unknownExtension(id)
	case x.state == extInitError, x.state == extExitError, x.state == extExited,
		inInit && (x.state != extRegistered || e.initOver()):
		return runtimeapi.BadTransition(x.state, state, id)
	}
	x.state, x.errorType = state, errorType
	e.extensionEnds(&failure{kind: kind, message: errorType})
	return nil
}

// initOver tells whether Init is over.
func (e *Environment) initOver() bool {
	return e.State() != Creating && e.State() != Initialising
}

// extensionExited is the end of an external extension's process.
func (e *Environment) extensionExited(x *extension, status syscall.WaitStatus) {
	x.gone = true
	if e.State() == Stopping {
		x.state = extExited
		e.stopped()
		return
	}
	if e.closing && e.initFailed != nil { // its word came first
		return
	}
	x.state = extExited
	f := &failure{kind: "Extension.Crash", message: "exit code 0"}
	switch {
	case status.Signaled():
		f.message = "signal: " + status.Signal().String()
	case status.ExitStatus() != 0:
		f.message = "exit status " + strconv.Itoa(status.ExitStatus())
	}
	e.extensionEnds(f)
}

// extensionEnds ends Init, the invocation, or what there is, and the environment,
// because of an extension.
func (e *Environment) extensionEnds(f *failure) {
	e.output.drain()
	switch {
	case e.State() == Stopping, e.State() == Ended:
	case e.State() == Creating:
		if e.early == nil {
			e.early = f
		}
	case e.State() == Initialising:
		e.failInit(f)
	case e.current != nil:
		e.answer(e.current, f, nil)
		e.endFor(reasonFailure)
	default:
		e.cfg.Log.Info("environment ends with an extension", "environment", e.cfg.ID, "type", f.kind, "reason", f.message)
		e.endFor(reasonFailure)
	}
}

// accountOf is the account in an ARN.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

func unknownExtension(id string) error {
	return &runtimeapi.Refusal{Type: runtimeapi.TypeUnknownIdentifier, Message: "Unknown extension " + id}
}

// logExtensions writes what became of the extensions in Init.
func (e *Environment) logExtensions(now time.Time) {
	for _, x := range e.ext.all {
		e.output.platform(now, &telemetry.Extension{Time: now, Name: x.name, State: x.state, Events: x.events, ErrorType: x.errorType})
	}
}
