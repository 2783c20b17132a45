package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/environment"
	"github.com/alcove-run/alcove/sandbox"
	"github.com/alcove-run/alcove/sandbox/egress"
)

// maxAge is how long an environment is used: its credentials are good for a little
// longer than its last invocation can take.
const maxAge = auth.SessionLife - 30*time.Minute

// lend gives the environment of a version that is about to be made, or to become
// that version's, credentials of its own. tenant says whose it is, and trace in
// which chain of invocations it runs, when somebody asks; end, if the environment
// does not come to be, takes them back.
func (n *node) lend(cfg *environment.Config, v *alcove.Version, tenant func() (alcove.Tenant, bool), trace func() alcove.Trace) (end func()) {
	if n.inside == nil {
		return func() {} // there is no way to use them
	}
	key, end := n.auth.OpenSession(auth.Session{
		Environment: cfg.ID, Function: v.Name, Role: v.Config.Role, Isolated: v.Isolated(), Tenant: tenant,
	})
	from := auth.Inside(cfg.ID)
	n.inside.traces.Store(from, trace)
	env := &cfg.Spec.Env
	if cfg.Tell != nil { // what the function sees
		env = &cfg.Tell
	}
	variables := []string{"AWS_ACCESS_KEY_ID=" + key.ID, "AWS_SECRET_ACCESS_KEY=" + key.Secret, "AWS_SESSION_TOKEN=" + key.Token}
	if _, own := v.Config.Environment[endpointVariable]; !own {
		variables = append(variables, endpointVariable+"="+insideURL)
	}
	*env = withVariables(*env, variables...)
	ended := cfg.OnEnd
	taken := end
	end = func() {
		taken()
		n.inside.traces.Delete(from)
	}
	cfg.OnEnd = func() {
		end()
		if ended != nil {
			ended()
		}
	}
	return end
}

// within is the trace of the invocation within which an environment's request was
// made; any other request was made within none.
func (n *node) within(r *http.Request) (alcove.Trace, bool) {
	if n.inside == nil {
		return alcove.Trace{}, false
	}
	trace, ok := n.inside.traces.Load(r.RemoteAddr)
	if !ok {
		return alcove.Trace{}, false
	}
	return trace.(func() alcove.Trace)(), true
}

// endpointVariable has AWS's clients send their requests elsewhere; a function's
// own stays as it is.
const endpointVariable = "AWS_ENDPOINT_URL"

// insideURL is the node as environments reach it.
var insideURL = fmt.Sprintf("http://%s:%d", sandbox.GatewayAddr4, egress.InsidePort)

// withVariables is env with some more, none of which is in it.
func withVariables(env []string, more ...string) []string {
	out := append(slices.Clone(env), more...)
	slices.SortFunc(out, strings.Compare)
	return out
}

// rolePolicy is the policy of an execution role, for the code of functions that
// have it.
func (n *node) rolePolicy(name string) string {
	r, err := n.catalog.Role(name)
	if err != nil { // there is none
		return ""
	}
	return r.Policy
}
