package logsapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/logs"
	"github.com/alcove-run/alcove/logs/insights"
	"github.com/alcove-run/alcove/logs/queries"
)

// queryCompileError is what MalformedQueryException says beside its text.
type queryCompileError struct {
	Location struct {
		Start int `json:"startCharOffset"`
		End   int `json:"endCharOffset"`
	} `json:"location"`
	Message string `json:"message"`
}

// compileError is that of an error about a query's text, nil of any other.
func compileError(err error) *queryCompileError {
	e, ok := errors.AsType[*insights.SyntaxError](err)
	if !ok {
		return nil
	}
	c := &queryCompileError{Message: e.Message}
	c.Location.Start, c.Location.End = e.Start, e.End
	return c
}

const (
	// language is Logs Insights' own, the only one.
	language       = "CWLI"
	maxQueryGroups = 50
	maxQueryRows   = 100_000
	maxResultRows  = 10_000
	// maxResultBytes is how large an answer of GetQueryResults grows; what is beyond is
	// on the next page.
	maxResultBytes = 8 << 20
)

type startQueryInput struct {
	LogGroupName        *string  `json:"logGroupName"`
	LogGroupNames       []string `json:"logGroupNames"`
	LogGroupIdentifiers []string `json:"logGroupIdentifiers"`
	StartTime           *int64   `json:"startTime"`
	EndTime             *int64   `json:"endTime"`
	QueryString         *string  `json:"queryString"`
	QueryLanguage       *string  `json:"queryLanguage"`
	Limit               *int64   `json:"limit"`
}

type startQueryOutput struct {
	QueryID string `json:"queryId"`
}

// startQuery asks for the right to query each of its groups.
func (a *API) startQuery(c *call) (any, error) {
	var in startQueryInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	names := in.names(a.Place)
	var scopes []*auth.Scope
	for _, name := range names {
		scope, err := a.authorize(c, ofTenants, subjectOf(a.Place, name, nil))
		if err != nil {
			return nil, err
		}
		scopes = append(scopes, scope)
	}
	if err := in.check(a.Place); err != nil {
		return nil, err
	}
	ctx := c.request.Context()
	request := queries.Request{Text: *in.QueryString, Rows: int(orZero(in.Limit)), Since: epoch(*in.StartTime, 0), Until: epoch(*in.EndTime, 1)}
	for i, name := range names {
		if _, err := a.Store.Group(ctx, name); errors.Is(err, logs.ErrNoGroup) {
			return nil, alcove.ClientError(alcove.CodeResourceNotFound, "Log group '%s' does not exist for account ID '%s'", name, a.Place.Account)
		} else if err != nil {
			return nil, err
		}
		g := queries.Group{Name: name}
		if only, ok := scopes[i].Only(); ok {
			g.Only = &only
		}
		if !scopes[i].All() {
			g.Visible = scopes[i].Sees
		}
		request.Groups = append(request.Groups, g)
	}
	var err error
	if request.Query, err = insights.Parse(*in.QueryString); err != nil {
		return nil, malformedQuery(err)
	}
	request.Owner = ownerOf(c.caller, scopes[0])
	id, err := a.Queries.Start(request)
	if err != nil {
		return nil, queryError(err)
	}
	return startQueryOutput{id}, nil
}

// malformedQuery is the error about a query's text.
func malformedQuery(err error) error {
	e := alcove.ClientError(codeMalformedQuery, "%s", err)
	e.Err = err
	return e
}

// queryError gives the runner's errors the shape that callers know.
func queryError(err error) error {
	switch {
	case errors.Is(err, queries.ErrTooMany):
		return alcove.ClientError(codeLimitExceeded, "Account maximum query concurrency limit of [%d] reached.", queries.DefaultPartyActive)
	case errors.Is(err, queries.ErrNotThere):
		return noQuery()
	case errors.Is(err, queries.ErrEnded):
		return invalidParameter("The specified query is not running.")
	}
	return err
}

func noQuery() *alcove.Error {
	return alcove.ClientError(alcove.CodeResourceNotFound, "The specified query does not exist.")
}

// ownerOf is whose a query is: an access key's, or that of a function's environments
// of one tenant, which have a key each.
func ownerOf(c alcove.Caller, s *auth.Scope) queries.Owner {
	o := queries.Owner{Caller: c.AccessKeyID, Party: c.AccessKeyID, ARN: c.ARN}
	tenant, one := s.Only()
	if strings.Contains(c.ARN, ":assumed-role/") {
		o.Caller, o.Party = c.ARN, c.ARN
		if one {
			o.Caller += "\x00" + string(tenant)
		}
	}
	if one {
		o.Party = "tenant\x00" + string(tenant)
	}
	return o
}

// names are those of the groups, each once; one that is none of ours is empty, which
// stands for all when it is authorised and is refused then.
func (in *startQueryInput) names(p alcove.Place) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if in.LogGroupName != nil {
		add(*in.LogGroupName)
	}
	for _, n := range in.LogGroupNames[:min(len(in.LogGroupNames), maxQueryGroups+1)] {
		add(n)
	}
	for _, id := range in.LogGroupIdentifiers[:min(len(in.LogGroupIdentifiers), maxQueryGroups+1)] {
		name, here := nameOf(p, id)
		if !here {
			name = ""
		}
		add(name)
	}
	if len(names) == 0 {
		add("")
	}
	return names
}

func (in *startQueryInput) check(p alcove.Place) error {
	var c checks
	c.optional(in.LogGroupName, "logGroupName", c.group)
	for _, n := range in.LogGroupNames {
		c.group(n, "logGroupNames")
	}
	for _, id := range in.LogGroupIdentifiers {
		name, here := nameOf(p, id)
		if !here {
			return noGroup()
		}
		c.group(name, "logGroupIdentifiers")
	}
	for member, value := range map[string]*int64{"startTime": in.StartTime, "endTime": in.EndTime} {
		if value == nil {
			c.fail("null", member, "not be null")
		}
		c.moment(value, member)
	}
	if in.QueryString == nil {
		c.fail("null", "queryString", "not be null")
	}
	c.limit(in.Limit, "limit", maxQueryRows)
	c.language(in.QueryLanguage)
	slices.Sort(c)
	if err := c.err(); err != nil {
		return err
	}
	given := 0
	for _, is := range []bool{in.LogGroupName != nil, len(in.LogGroupNames) > 0, len(in.LogGroupIdentifiers) > 0} {
		if is {
			given++
		}
	}
	switch {
	case in.QueryLanguage != nil && *in.QueryLanguage != language:
		return invalidParameter("The query language %s is not available here.", *in.QueryLanguage)
	case given != 1:
		return invalidParameter("Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given.")
	case len(in.LogGroupNames) > maxQueryGroups || len(in.LogGroupIdentifiers) > maxQueryGroups:
		return invalidParameter("At most %d log groups can be queried at once.", maxQueryGroups)
	case *in.EndTime < *in.StartTime:
		return invalidParameter("The end time is before the start time.")
	}
	return nil
}

func (c *checks) language(value *string) {
	if value != nil && !slices.Contains([]string{language, "PPL", "SQL"}, *value) {
		c.fail(*value, "queryLanguage", "satisfy enum value set: [CWLI, SQL, PPL]")
	}
}

// epoch is a time of a query's range: seconds, or milliseconds, as the service takes
// them too. add is milliseconds more.
func epoch(n, add int64) time.Time {
	const seconds = 100_000_000_000 // the year 5138; in milliseconds, March 1973
	if n < seconds {
		n *= 1000
	}
	return time.UnixMilli(min(n, maxMoment) + add)
}

// queryInput names a query.
type queryInput struct {
	QueryID   *string `json:"queryId"`
	NextToken *string `json:"nextToken"`
	MaxItems  *int64  `json:"maxItems"`
}

// ofQuery makes an operation of a function that takes a query, once its caller is
// known to be allowed it: by the policy for each of the query's groups, and because
// the query is its own, or it sees everybody's records. For any other there is no
// such query.
func ofQuery(f func(a *API, c *call, in *queryInput, q queries.Info) (any, error)) operation {
	return operation{kind: ofTenants, run: func(a *API, c *call) (any, error) {
		in := new(queryInput)
		if err := c.decode(in); err != nil {
			return nil, err
		}
		var q queries.Info
		err := error(queries.ErrNotThere)
		if in.QueryID != nil && a.Queries != nil {
			q, err = a.Queries.Info(*in.QueryID)
		}
		groups := q.Request.Groups
		if err != nil {
			groups = []queries.Group{{}}
		}
		own, all := false, true
		for _, g := range groups {
			scope, err := a.authorize(c, ofTenants, subjectOf(a.Place, g.Name, nil))
			if err != nil {
				return nil, err
			}
			own = own || ownerOf(c.caller, scope).Caller == q.Request.Owner.Caller
			all = all && scope.All()
		}
		var problems checks
		problems.required(in.QueryID, "queryId", func(v, m string) { problems.length(v, m, 1, 256) })
		if in.MaxItems != nil && (*in.MaxItems < 0 || *in.MaxItems > maxResultRows) {
			problems.fail(strconv.FormatInt(*in.MaxItems, 10), "maxItems", fmt.Sprint("have value between 0 and ", maxResultRows))
		}
		if err := problems.err(); err != nil {
			return nil, err
		}
		if err != nil || !own && !all {
			return nil, noQuery()
		}
		return f(a, c, in, q)
	}}
}

type queryStatistics struct {
	BytesScanned            float64 `json:"bytesScanned"`
	EstimatedBytesSkipped   float64 `json:"estimatedBytesSkipped"`
	EstimatedRecordsSkipped float64 `json:"estimatedRecordsSkipped"`
	LogGroupsScanned        float64 `json:"logGroupsScanned"`
	RecordsMatched          float64 `json:"recordsMatched"`
	RecordsScanned          float64 `json:"recordsScanned"`
}

type getQueryResultsOutput struct {
	NextToken     string            `json:"nextToken,omitempty"`
	QueryLanguage string            `json:"queryLanguage"`
	Results       []json.RawMessage `json:"results"`
	Statistics    queryStatistics   `json:"statistics"`
	Status        queries.Status    `json:"status"`
}

func (a *API) getQueryResults(_ *call, in *queryInput, q queries.Info) (any, error) {
	place, err := decodeToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	from := 0
	if place != "" {
		if from, err = strconv.Atoi(place); err != nil || from < 0 {
			return nil, invalidToken()
		}
	}
	most := int(orZero(in.MaxItems))
	if most == 0 {
		most = maxResultRows
	}
	rows, q, all, err := a.Queries.Results(q.ID, from, most, maxResultBytes)
	if err != nil {
		return nil, queryError(err)
	}
	s := q.Statistics
	out := getQueryResultsOutput{QueryLanguage: language, Status: q.Status, Results: []json.RawMessage{}, Statistics: queryStatistics{
		BytesScanned: float64(s.Bytes), RecordsMatched: float64(s.Matched), RecordsScanned: float64(s.Scanned), LogGroupsScanned: float64(s.Groups)}}
	for _, row := range rows {
		out.Results = append(out.Results, row)
	}
	if end := from + len(out.Results); end < all && q.Status != queries.Running {
		out.NextToken = encodeToken(strconv.Itoa(end))
	}
	return out, nil
}

type stopQueryOutput struct {
	Success bool `json:"success"`
}

func (a *API) stopQuery(_ *call, _ *queryInput, q queries.Info) (any, error) {
	if err := a.Queries.Stop(q.ID); err != nil {
		return nil, queryError(err)
	}
	return stopQueryOutput{true}, nil
}
