package auth

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alcove-run/alcove"
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

// Config is what [Open] needs; every member is required but Now.
type Config struct {
	// File holds the root key. It is made, with a new key in it, if it is not
	// there. Its directory exists.
	File string
	Mode Mode
	// Place gives the region that requests are signed for and the account that
	// the root key belongs to.
	Place alcove.Place
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Auth knows the access keys of a node. Its methods may be called from many
// goroutines.
type Auth struct {
	config  Config
	root    Key
	created bool
	caller  alcove.Caller // of the root key
	// keys is the cache of derived signing keys; see signing.go.
	keys atomic.Pointer[map[scope]*[32]byte]
}

// Open reads the key file, or makes it. A file that others than its owner may
// read or write is refused.
func Open(c Config) (*Auth, error) {
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
	a := &Auth{config: c, root: key, created: created}
	a.caller = alcove.Caller{
		AccessKeyID: key.ID,
		Account:     c.Place.Account,
		ARN:         "arn:" + c.Place.Partition + ":iam::" + c.Place.Account + ":root",
		UserID:      c.Place.Account,
	}
	a.keys.Store(&map[scope]*[32]byte{})
	return a, nil
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
func (a *Auth) Authenticate(r *http.Request, body []byte) (alcove.Caller, error) {
	if a.config.Mode == ModeNone {
		return a.anyone(r)
	}
	c, err := a.claim(r)
	if err != nil {
		return alcove.Caller{}, err
	}
	if err := a.verify(r, body, &c); err != nil {
		return alcove.Caller{}, err
	}
	return a.caller, nil
}

// Precheck refuses what [Auth.Authenticate] would refuse whatever the body is:
// it is for use before a large body is read. A nil error means nothing about
// who the caller is.
func (a *Auth) Precheck(r *http.Request) error {
	if a.config.Mode == ModeNone {
		_, err := a.anyone(r)
		return err
	}
	_, err := a.claim(r)
	return err
}

func (a *Auth) anyone(r *http.Request) (alcove.Caller, error) {
	if err := CheckLoopback(r); err != nil {
		return alcove.Caller{}, err
	}
	caller := a.caller
	caller.AccessKeyID = ""
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
	if len(r.Header["X-Amz-Security-Token"]) > 0 || c.scope.key != a.root.ID {
		return claim{}, alcove.ClientError(CodeUnrecognizedClient, "The security token included in the request is invalid.")
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

// services are the signing names of the services that a node answers for.
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
