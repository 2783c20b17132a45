package logsapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/internal/eventstream"
	"github.com/alcove-run/alcove/logs"
)

type startLiveTailInput struct {
	LogGroupIdentifiers   []string `json:"logGroupIdentifiers"`
	LogStreamNames        []string `json:"logStreamNames"`
	LogStreamNamePrefixes []string `json:"logStreamNamePrefixes"`
	LogEventFilterPattern *string  `json:"logEventFilterPattern"`
}

// liveTailSessionStart is the first event of a session.
type liveTailSessionStart struct {
	RequestID             string   `json:"requestId"`
	SessionID             string   `json:"sessionId"`
	LogGroupIdentifiers   []string `json:"logGroupIdentifiers"`
	LogStreamNames        []string `json:"logStreamNames"`
	LogStreamNamePrefixes []string `json:"logStreamNamePrefixes"`
	LogEventFilterPattern string   `json:"logEventFilterPattern"`
}

const (
	// maxSessions is AWS's quota of Live Tail sessions at a time.
	maxSessions = 15
	// maxTailGroups is how many groups one may have.
	maxTailGroups = 10
)

// tailed is a group of a session.
type tailed struct {
	identifier string // as the caller named it
	query      logs.Query
}

// startLiveTail authorises the caller for each group, and answers with a stream of
// what comes.
func (a *API) startLiveTail(c *call) (any, error) {
	in := new(startLiveTailInput)
	if err := c.decode(in); err != nil {
		return nil, err
	}
	groups, party, err := a.tailedGroups(c, in)
	if err != nil {
		return nil, err
	}
	lost := make(chan struct{})
	place := a.tails.Take(party, func() { close(lost) })
	if place == nil {
		return nil, alcove.ClientError("LimitExceededException", "There are %d Live Tail sessions already; end one first.", maxSessions)
	}
	defer place.Leave()
	start, err := json.Marshal(liveTailSessionStart{RequestID: c.requestID, SessionID: uuid.NewString(), LogGroupIdentifiers: in.LogGroupIdentifiers,
		LogStreamNames: orEmpty(in.LogStreamNames), LogStreamNamePrefixes: orEmpty(in.LogStreamNamePrefixes), LogEventFilterPattern: orZero(in.LogEventFilterPattern)})
	if err != nil {
		return nil, err
	}
	s := &liveTail{
		out: streamWriter{c.writer, http.NewResponseController(c.writer)}, start: start, groups: groups, wants: in.wants,
		tail: a.Store.Tail, ending: a.Ending, lost: lost, log: a.Log,
	}
	if a.Revoked != nil {
		s.revoked = a.Revoked(c.caller)
	}
	h := c.writer.Header()
	h.Set("X-Amzn-RequestId", c.requestID)
	h.Set("Content-Type", eventstream.Type)
	s.run(c.request.Context())
	return answered, nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// tailedGroups are the groups of a session, each of which the caller may tail, and
// whose session it is.
func (a *API) tailedGroups(c *call, in *startLiveTailInput) (groups []tailed, party string, err error) {
	names, bad := in.check(a.Place)
	// Who may not tail a group learns no more of the request than that.
	subjects := names
	if len(names) == 0 {
		subjects = []string{""}
	}
	var scopes []*auth.Scope
	for _, name := range subjects {
		scope, err := a.authorize(c, ofTenants, subjectOf(a.Place, name, nil))
		if err != nil {
			return nil, "", err
		}
		scopes = append(scopes, scope)
	}
	if bad != nil {
		return nil, "", bad
	}
	party = ownerOf(c.caller, scopes[0]).Party
	q := logs.Query{Streams: in.LogStreamNames}
	for i, name := range names {
		if in.LogEventFilterPattern != nil {
			p, err := compilePattern(*in.LogEventFilterPattern)
			if err != nil {
				return nil, "", err
			}
			q.Among = among(p)
			q.Matching = func(ctx context.Context) (func([]byte) bool, func(), error) {
				w, err := a.begin(ctx, party, p)
				if err != nil {
					return nil, nil, err
				}
				return w.match, w.end, nil
			}
		}
		if _, err := a.Store.Group(c.request.Context(), name); err != nil {
			return nil, "", storeError(err)
		}
		q.Group, q.Visible = name, nil
		if !scopes[i].All() {
			q.Visible = scopes[i].Sees
		}
		groups = append(groups, tailed{in.LogGroupIdentifiers[i], q})
	}
	return groups, party, nil
}

// check gives the names of the groups, and what is wrong with the request.
func (in *startLiveTailInput) check(p alcove.Place) (names []string, err error) {
	var c checks
	switch n := len(in.LogGroupIdentifiers); {
	case in.LogGroupIdentifiers == nil:
		c.fail("null", "logGroupIdentifiers", "not be null")
	case n < 1 || n > maxTailGroups:
		c.fail("[…]", "logGroupIdentifiers", "have length between 1 and 10")
	}
	for _, identifier := range in.LogGroupIdentifiers[:min(len(in.LogGroupIdentifiers), maxTailGroups)] {
		name, here := nameOf(p, identifier)
		switch {
		case strings.HasSuffix(identifier, "*"):
			c.fail(identifier, "logGroupIdentifiers", "not end with *")
		case !here:
			return names, noGroup()
		default:
			c.group(name, "logGroupIdentifiers")
		}
		names = append(names, name)
	}
	for member, list := range map[string][]string{"logStreamNames": in.LogStreamNames, "logStreamNamePrefixes": in.LogStreamNamePrefixes} {
		if list != nil && (len(list) == 0 || len(list) > maxStreams) {
			c.fail("[…]", member, "have length between 1 and 100")
		}
		for _, name := range list {
			c.stream(name, member)
		}
	}
	c.length(orZero(in.LogEventFilterPattern), "logEventFilterPattern", 0, maxPattern)
	if err := c.err(); err != nil {
		return names, err
	}
	switch sorted := slices.Sorted(slices.Values(names)); {
	case in.LogStreamNames != nil && in.LogStreamNamePrefixes != nil:
		return names, invalidParameter("logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.")
	case len(names) > 1 && (in.LogStreamNames != nil || in.LogStreamNamePrefixes != nil):
		return names, invalidParameter("logStreamNames and logStreamNamePrefixes can be specified only with one log group.")
	case len(slices.Compact(sorted)) != len(names):
		return names, invalidParameter("logGroupIdentifiers names a log group more than once.")
	}
	return names, nil
}

// wants says whether a stream is one of those that a session is about.
func (in *startLiveTailInput) wants(stream string) bool {
	return in.LogStreamNamePrefixes == nil || slices.ContainsFunc(in.LogStreamNamePrefixes, func(p string) bool { return strings.HasPrefix(stream, p) })
}

// streamWriter writes a session's frames to its client.
type streamWriter struct {
	http.ResponseWriter
	*http.ResponseController
}
