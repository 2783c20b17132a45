package console

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// depth is what waits of one tenant of a function, as alcove's own API has it.
type depth struct {
	Function    string `json:"-"`
	Tenant      string `json:"tenant"`
	Waiting     int    `json:"waiting"`
	Delayed     int    `json:"delayed"`
	Running     int    `json:"running"`
	Delivering  int    `json:"delivering"`
	DeadLetters int    `json:"deadLetters"`
	Bytes       int64  `json:"bytes"`
	OldestAge   float64
}

// Age is how long the oldest has waited.
func (d depth) Age() string {
	if d.Waiting+d.Delayed+d.Running+d.Delivering == 0 {
		return "–"
	}
	return age(time.Duration(d.OldestAge * float64(time.Second)))
}

// queuePage is the page of a function's events.
type queuePage struct {
	Events, DeadLetters int
	Rows                []depth
	All, From, To       int
	Next, Back          string
}

// queueOf asks for a function's queue, or one tenant's part of it.
func (q *request) queueOf(function, tenant string) (queuePage, error) {
	var got struct {
		Events, DeadLetters int
		Tenants             []struct {
			depth
			Oldest float64 `json:"oldestAgeSeconds"`
		}
	}
	query := url.Values{}
	if tenant != "" {
		query.Set("tenant", tenant)
	}
	p := queuePage{}
	if err := q.api().node(q.Context(), "functions/"+function+"/queue", query, &got); err != nil {
		return p, err
	}
	p.Events, p.DeadLetters = got.Events, got.DeadLetters
	for _, t := range got.Tenants {
		t.depth.OldestAge, t.depth.Function = t.Oldest, function
		p.Rows = append(p.Rows, t.depth)
	}
	slices.SortStableFunc(p.Rows, func(a, b depth) int { return b.Waiting + b.Delayed - a.Waiting - a.Delayed })
	return p, nil
}

func (q *request) showQueue() error {
	p, _, err := q.function("queue")
	if err != nil {
		return err
	}
	queue, err := q.queueOf(p.Name, "")
	if err != nil {
		return err
	}
	queue.All = len(queue.Rows)
	queue.From, queue.To, queue.Next, queue.Back = pages(q.URL.Query(), queue.All)
	queue.Rows = queue.Rows[queue.From:queue.To]
	p.Queue = &queue
	return q.renderFunction(http.StatusOK, p)
}

// changeQueue removes a tenant's events, or has its dead letters tried again.
func (q *request) changeQueue() error {
	name, query := q.PathValue("name"), url.Values{"tenant": {q.PostFormValue("tenant")}}
	c := call{service: "lambda", method: http.MethodDelete, path: "/alcove/v1/functions/" + name + "/queue", query: query}
	done := "emptied"
	if q.PostFormValue("what") == "replay" {
		c.method, c.path, done = http.MethodPost, c.path+"/replay", "replayed"
	}
	if _, err := q.api().send(q.Context(), c); err != nil {
		return err
	}
	q.redirect("functions/" + name + "/queue?done=" + done)
	return nil
}
