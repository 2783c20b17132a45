package auth

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth/policy"
)

// Sessions are the credentials of execution environments: each has its own, which
// its code reads from its variables, as on AWS. They are worth nothing to anybody
// else: the node takes them from the environment's own connections alone
// ([Inside]), for as long as the environment is there, and, of one that belongs
// to a tenant, for nothing that is another tenant's.

// SessionLife is how long credentials are good for, whatever their environment
// does: twelve hours, the longest that a session of AWS's lasts.
const SessionLife = 12 * time.Hour

// Session is whose credentials are.
type Session struct {
	Environment string // its id
	Function    string // the function's name
	Role        string // the ARN of its execution role
	// Isolated says that the environment is for one tenant, and Tenant which;
	// bound is false before it has one.
	Isolated bool
	Tenant   func() (t alcove.Tenant, bound bool)
}

// SessionKey is what the code of an environment signs with.
type SessionKey struct {
	Key
	Token   string
	Expires time.Time
}

// insidePrefix is what the address of a connection from an environment begins
// with. No address of a network does.
const insidePrefix = "environment/"

// Inside is the remote address of what comes from an environment, by the
// connection that is its own: what [http.Request] has as RemoteAddr.
func Inside(environment string) string { return insidePrefix + environment }

// inside gives the id of the environment that a request came from.
func inside(r *http.Request) (environment string, ok bool) {
	return strings.CutPrefix(r.RemoteAddr, insidePrefix)
}

// OpenSession makes credentials for an environment. end makes them worthless.
func (a *Auth) OpenSession(s Session) (key SessionKey, end func()) {
	key = SessionKey{Key: newKey(), Token: random(tokenLetters, 96), Expires: a.config.Now().Add(SessionLife)}
	key.ID = "ASIA" + key.ID[len("AKIA"):]
	role := RoleName(s.Role)
	place := a.config.Place
	p := &principal{
		secret: key.Secret, key: AccessKey{Name: role, AccessKeyID: key.ID},
		session: &openSession{Session: s, token: key.Token, expires: key.Expires, role: role}, revoked: make(chan struct{}),
		caller: alcove.Caller{
			AccessKeyID: key.ID, Account: place.Account, UserID: "AROA" + strings.ToUpper(key.ID[4:]) + ":" + s.Function,
			ARN: "arn:" + place.Partition + ":sts::" + place.Account + ":assumed-role/" + role + "/" + s.Function,
		},
	}
	a.sessions.Store(key.ID, p)
	return key, func() {
		if a.sessions.CompareAndDelete(key.ID, p) {
			close(p.revoked)
		}
	}
}

const tokenLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// openSession is a session that can be used.
type openSession struct {
	Session
	token   string
	expires time.Time
	role    string
}

// RoleName is the name in a role's ARN, without its path.
func RoleName(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// checkSession sees that the key of a request belongs where it comes from: that of
// an environment to its own connections, every other to all others.
func (a *Auth) checkSession(r *http.Request, p *principal) error {
	tokens := r.Header["X-Amz-Security-Token"]
	environment, in := inside(r)
	if p.session == nil {
		if in || len(tokens) > 0 {
			return unrecognized()
		}
		return nil
	}
	if !in || environment != p.session.Environment || len(tokens) != 1 ||
		subtle.ConstantTimeCompare([]byte(tokens[0]), []byte(p.session.token)) != 1 {
		return unrecognized()
	}
	if !a.config.Now().Before(p.session.expires) {
		return alcove.ClientError(CodeExpiredToken, "The security token included in the request is expired")
	}
	return nil
}

// decideSession says whether an environment's code may do something: what the
// document of its role allows, and, of an isolated function, no more than is its
// own tenant's.
func (a *Auth) decideSession(p *principal, r *policy.Request, o *Operation) (*Scope, error) {
	document := a.rolePolicy(p.session.role)
	identity := document.Decide(r)
	if identity == policy.Denied {
		return nil, notAuthorized(r, "with an explicit deny in an identity-based policy")
	}
	scope := &Scope{document: document, request: *r}
	if p.session.Isolated {
		tenant, bound := p.session.Tenant()
		switch {
		case o.Tenant != "" && (!bound || o.Tenant != tenant):
			return nil, notAuthorized(r, "because an execution environment acts for its own tenant alone")
		case o.Whole:
			return nil, notAuthorized(r, "because the execution environment of a tenant sees nothing of all tenants")
		case !o.Invocation && !o.Implied && !reads(o.Action):
			return nil, notAuthorized(r, "because the execution environment of a tenant changes nothing that tenants share")
		}
		scope.only = &tenant
		if !bound {
			scope.only = new(alcove.Tenant) // what belongs to no tenant
		}
	}
	if o.Invocation || o.Policy != "" {
		switch a.policyOf(o).Decide(r) {
		case policy.Denied:
			return nil, notAuthorized(r, "with an explicit deny in a resource-based policy")
		case policy.Allowed:
			if document == nil || document.Covers(string(o.Tenant)) {
				return scope, nil
			}
		}
	}
	if identity != policy.Allowed {
		why := "because no identity-based policy allows the " + r.Action + " action"
		if document == nil {
			why += ": the role " + p.session.role + " has no policy here"
		} else {
			why += forTenant(document, o)
		}
		return nil, notAuthorized(r, why)
	}
	if o.OfTenant && !document.Covers(string(o.Tenant)) {
		return nil, notAuthorized(r, "because the role is bound to tenants by lambda:TenantId, and this is not theirs"+forTenant(document, o))
	}
	if scope.only == nil && !document.Scoped() {
		return nil, nil
	}
	return scope, nil
}

// reads says whether an action only reads. A query of logs that is begun or stopped
// is the caller's own, and does no more.
func reads(action string) bool {
	_, name, _ := strings.Cut(action, ":")
	if action == "logs:StartQuery" || action == "logs:StopQuery" {
		return true
	}
	for _, verb := range []string{"Get", "List", "Describe", "Filter"} {
		if strings.HasPrefix(name, verb) {
			return true
		}
	}
	return false
}

// rolePolicy is the document of a role, compiled when its text changes; nil if
// there is none, which allows nothing.
func (a *Auth) rolePolicy(role string) *policy.Document {
	if a.config.RolePolicy == nil {
		return nil
	}
	text := a.config.RolePolicy(role)
	if text == "" {
		return nil
	}
	if known, ok := a.roles.Load(role); ok && known.(*resourcePolicy).text == text {
		return known.(*resourcePolicy).document
	}
	d, err := policy.Parse(text)
	if err != nil { // of a later version of the program, perhaps
		a.config.Log.Error("policy of a role cannot be read: it allows nothing", "role", role, "error", err)
		d = nil
	}
	a.roles.Store(role, &resourcePolicy{text, d})
	return d
}

// CheckRole sees that a role can be kept under a name, with a policy.
func CheckRole(name, document string) error {
	if !namePattern.MatchString(name) {
		return alcove.ClientError(alcove.CodeValidation,
			"The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and be at most 64 long")
	}
	if _, err := policy.Parse(document); err != nil {
		return alcove.ClientError(CodeMalformedPolicy, "%s", err.Error())
	}
	return nil
}
