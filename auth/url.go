package auth

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth/policy"
)

// Who may have a function answer by its URL. A URL of the type NONE is for
// everybody whom the function's own policy lets, whoever they are; one of the type
// AWS_IAM is for callers who sign.

// URLAuthNone is the type of a function URL that asks nobody who they are.
const URLAuthNone = "NONE"

const (
	urlAction = "lambda:InvokeFunctionUrl"
	// A denial of this holds for URLs as well; to allow it is not asked for, as
	// it is not of the URLs that AWS had before it was.
	invokeAction = "lambda:InvokeFunction"
)

// anonymous is what stands for nobody in particular in reports.
const anonymous = "anonymous"

// AuthenticateURL says who made a request to a function URL of a type. Errors as
// for Authenticate.
func (a *Auth) AuthenticateURL(r *http.Request, body []byte, authType string) (alcove.Caller, error) {
	if err := a.PrecheckURL(r, authType); err != nil {
		return alcove.Caller{}, err
	}
	switch {
	case authType == URLAuthNone:
		return alcove.Caller{ARN: anonymous, Source: sourceOf(r)}, nil
	case a.config.Mode == ModeNone:
		caller := a.rooted.caller
		caller.AccessKeyID, caller.Source = "", sourceOf(r)
		return caller, nil
	}
	return a.Authenticate(r, body)
}

// PrecheckURL refuses what AuthenticateURL would refuse whatever the body is.
//
// Without authentication, only names below localhost are answered to, as
// CheckLoopback has it: whoever points another name here gets nothing. A URL of
// the type NONE is meant for pages of any origin, which its CORS configuration is
// about; any other is not called by them.
func (a *Auth) PrecheckURL(r *http.Request, authType string) error {
	if _, in := inside(r); in {
		return forbidden() // environments call functions by the API
	}
	switch {
	case a.config.Mode == ModeNone:
		return checkLoopbackURL(r, authType != URLAuthNone)
	case authType == URLAuthNone:
		return nil
	case len(r.Header["Authorization"]) == 0 && !presigned(r.URL.RawQuery):
		return forbidden()
	}
	return a.Precheck(r)
}

func checkLoopbackURL(r *http.Request, ownPagesOnly bool) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !strings.HasSuffix(strings.ToLower(host), ".localhost") {
		return denied("This endpoint runs without authentication and answers only to names below localhost.")
	}
	if !ownPagesOnly {
		return nil
	}
	for _, origin := range r.Header["Origin"] {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return denied("This function URL has the type AWS_IAM. Without authentication it answers no page of another origin.")
		}
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "none" && site != "same-origin" {
			return denied("This function URL has the type AWS_IAM. Without authentication it answers no page of another site.")
		}
	}
	return nil
}

// forbidden is AWS's answer to whoever may not, recorded from the service.
func forbidden() *alcove.Error {
	return denied("Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html")
}

// AuthorizeURL says whether a caller may invoke o.Function by its URL. A refusal
// of somebody known is recorded; an invocation's record is its report.
func (a *Auth) AuthorizeURL(caller alcove.Caller, o Operation, authType string) error {
	if a.config.Mode == ModeNone || authType != URLAuthNone && caller.AccessKeyID == a.root.ID {
		return nil
	}
	o.Action, o.Invocation, o.Reported = urlAction, true, true
	if authType == URLAuthNone {
		r := a.urlRequest(&principal{}, alcove.Caller{Source: caller.Source}, &o, authType)
		own := a.resourcePolicy(o.Function)
		if own.Decide(&r) != policy.Allowed {
			return forbidden()
		}
		if r.Action = invokeAction; own.Decide(&r) == policy.Denied {
			return forbidden()
		}
		return nil
	}
	p := a.find(caller.AccessKeyID)
	if p == nil {
		return unrecognized() // deleted since it signed
	}
	r := a.urlRequest(p, caller, &o, authType)
	_, why := a.decide(p, &r, &o)
	if why == nil {
		r.Action = invokeAction
		if p.policy.Decide(&r) == policy.Denied || a.resourcePolicy(o.Function).Decide(&r) == policy.Denied {
			why = notAuthorized(&r, "with an explicit deny")
		}
	}
	if why == nil {
		return nil
	}
	if err := a.record(caller, &o, why); err != nil {
		a.config.Log.Error("call is not in the audit log", "action", o.Action, "requestId", o.RequestID, "error", fmt.Errorf("auth: %w", err))
	}
	return forbidden()
}

func (a *Auth) urlRequest(p *principal, caller alcove.Caller, o *Operation, authType string) policy.Request {
	r := a.request(p, caller, o)
	r.URLAuthType, r.Account = authType, a.config.Place.Account
	return r
}
