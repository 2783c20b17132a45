package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/store"
)

// Mode says how callers prove who they are.
type Mode string

// The modes.
const (
	// ModeSigV4 asks for AWS Signature Version 4 in the Authorization header.
	ModeSigV4 Mode = "sigv4"
	// ModeNone believes everybody who reaches a loopback listener by a loopback
	// name and is not a web page of another origin.
	ModeNone Mode = "none"
)

// MaxSkew is how far a request's date may be from the node's clock.
const MaxSkew = 5 * time.Minute

// Config is what [Open] needs; every member is required unless it says otherwise.
type Config struct {
	// File holds the root key. It is made, with a new key in it, if it is not
	// there. Its directory exists.
	File string
	Mode Mode
	// Place gives the region that requests are signed for and the account that
	// the root key belongs to.
	Place alcove.Place
	// Keys holds the access keys that were made; nil is a node with the root key
	// alone.
	Keys *store.Bucket
	// Tags gives the tags of a function, ResourcePolicy the policy that belongs to
	// a function or a qualifier of it, empty if there is none. Nil is none.
	Tags           func(function string) map[string]string
	ResourcePolicy func(ref alcove.Ref) string
	// RolePolicy gives the policy of an execution role by its name, empty if there
	// is none. Nil is none.
	RolePolicy func(role string) string
	// Record keeps the record of a call, before the call has an effect; nil keeps
	// none.
	Record func(Record) error
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger // nil is silent
}

// Auth knows the access keys of a node. Its methods may be called from many
// goroutines.
type Auth struct {
	config  Config
	root    Key
	created bool
	rooted  principal // whose key the root key is
	keys    keys
	// resource are the policies of resources, compiled; see authorize.go.
	resource sync.Map // of alcove.Ref, *resourcePolicy
	roles    sync.Map // of a role's name, *resourcePolicy
	sessions sync.Map // of an access key id, *principal; see session.go
}

// Open reads the key file, or makes it. A file that others than its owner may
// read or write is refused. ctx bounds the reading of the keys.
func Open(ctx context.Context, c Config) (*Auth, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Mode != ModeSigV4 && c.Mode != ModeNone {
		return nil, fmt.Errorf("auth: unknown mode %q", c.Mode)
	}
	key, created, err := openKey(c.File)
	if err != nil {
		return nil, fmt.Errorf("auth: root key: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &Auth{config: c, root: key, created: created}
	a.rooted = principal{root: true, secret: key.Secret, caller: alcove.Caller{
		AccessKeyID: key.ID,
		Account:     c.Place.Account,
		ARN:         "arn:" + c.Place.Partition + ":iam::" + c.Place.Account + ":root",
		UserID:      c.Place.Account,
	}}
	if err := a.keys.open(ctx, a); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Close stops following the keys, and waits for it.
func (a *Auth) Close() error {
	a.keys.close()
	return nil
}

// find gives whom a key belongs to that may be used, or nil.
func (a *Auth) find(accessKeyID string) *principal {
	if accessKeyID == a.root.ID {
		return &a.rooted
	}
	p := (*a.keys.byID.Load())[accessKeyID]
	if p == nil {
		if s, ok := a.sessions.Load(accessKeyID); ok {
			return s.(*principal)
		}
		return nil
	}
	if p.key.Disabled {
		return nil
	}
	return p
}

// Mode is the mode it was opened with.
func (a *Auth) Mode() Mode { return a.config.Mode }

// RootKey gives the root key, and whether this Open made it: then it has to be
// shown to the operator, once.
func (a *Auth) RootKey() (key Key, created bool) { return a.root, a.created }

// Authenticate says who made r, whose whole body is body. Its errors are
// *[alcove.Error], meant for the caller, with one of the codes in errors.go.
//
// With [ModeSigV4] the signature must cover the host, the date, every x-amz-*
// header, both spellings of the tenant header and the body. Identical requests
// within the skew are legal (concurrent calls are identical), so there is no
// replay cache.
//
// What comes from an environment is signed with its own credentials in every
// mode.
func (a *Auth) Authenticate(r *http.Request, body []byte) (alcove.Caller, error) {
	if a.open(r) {
		return a.anyone(r)
	}
	c, err := a.claim(r)
	if err != nil {
		return alcove.Caller{}, err
	}
	if err := verify(r, body, &c); err != nil {
		return alcove.Caller{}, err
	}
	caller := c.principal.caller
	caller.Source = sourceOf(r)
	return caller, nil
}

// sourceOf is where r came from. Headers that say otherwise are not believed.
func sourceOf(r *http.Request) netip.Addr {
	from, _ := netip.ParseAddrPort(r.RemoteAddr) // else invalid, which is unknown
	return from.Addr().Unmap()
}

// Precheck refuses what [Auth.Authenticate] would refuse whatever the body is:
// it is for use before a large body is read. A nil error means nothing about
// who the caller is.
func (a *Auth) Precheck(r *http.Request) error {
	if a.open(r) {
		_, err := a.anyone(r)
		return err
	}
	_, err := a.claim(r)
	return err
}

// open says whether nobody is asked who sends r.
func (a *Auth) open(r *http.Request) bool {
	_, in := inside(r)
	return a.config.Mode == ModeNone && !in
}

func (a *Auth) anyone(r *http.Request) (alcove.Caller, error) {
	if err := CheckLoopback(r); err != nil {
		return alcove.Caller{}, err
	}
	caller := a.rooted.caller
	caller.AccessKeyID = ""
	caller.Source = sourceOf(r)
	return caller, nil
}

// claim reads what r says about itself and checks all of it but the signature.
func (a *Auth) claim(r *http.Request) (claim, error) {
	if presigned(r.URL.RawQuery) {
		return claim{}, alcove.ClientError(CodeInvalidSignature,
			"Presigned URLs are not supported here. Sign the request in its Authorization header.")
	}
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return claim{}, alcove.ClientError(CodeMissingToken, "Missing Authentication Token")
	}
	if len(values) > 1 {
		return claim{}, alcove.ClientError(CodeIncompleteSignature, "There is more than one Authorization header.")
	}
	c, err := parseAuthorization(values[0])
	if err != nil {
		return claim{}, err
	}
	if c.principal = a.find(c.scope.key); c.principal == nil {
		return claim{}, unrecognized()
	}
	if err := a.checkSession(r, c.principal); err != nil {
		return claim{}, err
	}
	dates := r.Header["X-Amz-Date"]
	if len(dates) != 1 {
		return claim{}, alcove.ClientError(CodeIncompleteSignature,
			"Authorization header requires existence of exactly one 'X-Amz-Date' header.")
	}
	c.date = dates[0]
	if err := a.checkScope(&c); err != nil {
		return claim{}, err
	}
	return c, checkSigned(r.Header, c.signedHeaders)
}

func unrecognized() *alcove.Error {
	return alcove.ClientError(CodeUnrecognizedClient, "The security token included in the request is invalid.")
}

// knownService knows the signing names of the services that a node answers for.
func knownService(name string) bool {
	switch name {
	case "lambda", "logs", "sts", "monitoring":
		return true
	}
	return false
}

const dateLayout = "20060102T150405Z"

func (a *Auth) checkScope(c *claim) error {
	date, err := time.Parse(dateLayout, c.date)
	if err != nil {
		return alcove.ClientError(CodeIncompleteSignature, "Date must be in ISO-8601 'basic format'. Got '%s'.", c.date)
	}
	switch {
	case c.terminator != terminator:
		return invalid("Credential should be scoped with a valid terminator: '%s'.", terminator)
	case c.scope.date != c.date[:8]:
		return invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			c.scope.date, c.date[:8], c.date)
	case c.scope.region != a.config.Place.Region:
		return invalid("Credential should be scoped to a valid region.")
	case !knownService(c.scope.service):
		return invalid("Credential should be scoped to correct service: 'lambda'.")
	}
	now := a.config.Now().UTC()
	if limit := now.Add(-MaxSkew); date.Before(limit) {
		return invalid("Signature expired: %s is now earlier than %s (%s - 5 min.)",
			c.date, limit.Format(dateLayout), now.Format(dateLayout))
	}
	if limit := now.Add(MaxSkew); date.After(limit) {
		return invalid("Signature not yet current: %s is still later than %s (%s + 5 min.)",
			c.date, limit.Format(dateLayout), now.Format(dateLayout))
	}
	return nil
}

// presigned says whether a raw query holds a signature.
func presigned(query string) bool {
	return strings.Contains(query, "X-Amz-Signature=") || strings.Contains(query, "X-Amz-Credential=") ||
		strings.Contains(query, "X-Amz-Algorithm=")
}
