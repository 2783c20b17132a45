package logsapi

import (
	"context"
	"fmt"
	"slices"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/logs/queries"
)

type describeQueriesInput struct {
	LogGroupName  *string `json:"logGroupName"`
	Status        *string `json:"status"`
	QueryLanguage *string `json:"queryLanguage"`
	MaxResults    *int64  `json:"maxResults"`
	NextToken     *string `json:"nextToken"`
}

// about is the group, or all of them if none is named.
func (in *describeQueriesInput) about(p alcove.Place) string {
	if in.LogGroupName == nil {
		return groupARN(p, "*") + ":*"
	}
	return subjectOf(p, *in.LogGroupName, nil)
}

type queryInfo struct {
	BytesScanned  float64        `json:"bytesScanned"`
	CreateTime    int64          `json:"createTime"`
	LogGroupName  string         `json:"logGroupName"`
	QueryDuration int64          `json:"queryDuration"`
	QueryID       string         `json:"queryId"`
	QueryLanguage string         `json:"queryLanguage"`
	QueryString   string         `json:"queryString"`
	Status        queries.Status `json:"status"`
	UserIdentity  string         `json:"userIdentity,omitempty"`
}

type describeQueriesOutput struct {
	NextToken string      `json:"nextToken,omitempty"`
	Queries   []queryInfo `json:"queries"`
}

const maxQueries = 1000

// describeQueries tells of the caller's own queries, and of everybody's if it sees
// everybody's records in all of their groups.
func (a *API) describeQueries(_ context.Context, c *call, in *describeQueriesInput) (any, error) {
	var p checks
	p.optional(in.LogGroupName, "logGroupName", p.group)
	p.limit(in.MaxResults, "maxResults", maxQueries)
	p.language(in.QueryLanguage)
	if s := orZero(in.Status); in.Status != nil && !slices.Contains([]queries.Status{queries.Scheduled, queries.Running, queries.Complete,
		queries.Failed, queries.Cancelled, queries.Timeout, "Unknown"}, queries.Status(s)) {
		p.fail(s, "status", "satisfy enum value set: [Scheduled, Running, Complete, Failed, Cancelled, Timeout, Unknown]")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	after, err := decodeToken(in.NextToken)
	if err != nil {
		return nil, err
	}
	most := int(orZero(in.MaxResults))
	if most == 0 {
		most = maxQueries
	}
	out := describeQueriesOutput{Queries: []queryInfo{}}
	if in.QueryLanguage != nil && *in.QueryLanguage != language {
		return out, nil
	}
	owner := ownerOf(c.caller, c.scope).Caller
	for _, q := range a.Queries.List() {
		place := place(q)
		all := c.scope.All() && (in.LogGroupName == nil || len(q.Request.Groups) == 1)
		if after != "" && place >= after || !all && q.Request.Owner.Caller != owner || in.Status != nil && string(q.Status) != *in.Status ||
			in.LogGroupName != nil && !slices.ContainsFunc(q.Request.Groups, func(g queries.Group) bool { return g.Name == *in.LogGroupName }) {
			continue
		}
		if len(out.Queries) == most {
			last := out.Queries[most-1]
			out.NextToken = encodeToken(fmt.Sprintf("%020d/%s", last.CreateTime, last.QueryID))
			break
		}
		out.Queries = append(out.Queries, queryInfo{BytesScanned: float64(q.Bytes), CreateTime: q.Created.UnixMilli(), LogGroupName: q.Request.Groups[0].Name,
			QueryDuration: q.Took.Milliseconds(), QueryID: q.ID, QueryLanguage: language, QueryString: q.Request.Text, Status: q.Status, UserIdentity: q.Request.Owner.ARN})
	}
	return out, nil
}

// place is where a query is in the list, which goes from the greatest to the least.
func place(q queries.Info) string { return fmt.Sprintf("%020d/%s", q.Created.UnixMilli(), q.ID) }
