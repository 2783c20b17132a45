package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove/internal/places"
)

// Prefix is the path below which the console is served.
const Prefix = "/console/"

// Config is what the console is made of.
type Config struct {
	// API is the handler of the node's listener: it gets the requests that pages
	// are made of, as if whoever looks had sent them.
	API http.Handler
	// Check refuses requests before anything else is looked at. With Open, nobody
	// signs in: it is what stands between the node and pages of other sites.
	Check func(*http.Request) error
	Open  bool
	// Region is what requests are signed for.
	Region string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Console is the handler of everything under Prefix.
type Console struct {
	Config
	sessions *sessions
	mux      *http.ServeMux
	pages    map[string]*template.Template
	assets   assets
	foreign  *http.CrossOriginProtection
	streams  *places.Places // of events that are open
	seats    chan struct{}  // a place for each that is being made
	packages chan struct{}  // a place for each deployment package in memory
	looks    chan struct{}  // a place for each look at the floor
	stopped  context.Context
	stop     context.CancelFunc
}

//go:embed templates static
var files embed.FS

// Limits of what a browser sends.
const (
	maxForm    = 10 << 20 // a form: a payload of 6 MB, percent-encoded in part
	maxUpload  = 51 << 20 // a zip file of 50 MB and its frame
	maxSignIn  = 64 << 10 // a form of somebody who has not signed in
	bodyTime   = time.Minute
	apiTimeout = 30 * time.Second // of requests that a page waits for, invocations aside
)

// New makes the console.
func New(c Config) (*Console, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	con := &Console{Config: c, mux: http.NewServeMux(), foreign: http.NewCrossOriginProtection(), streams: places.New(maxStreams),
		seats: make(chan struct{}, maxSeats), packages: make(chan struct{}, maxPackages), looks: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	con.stopped, con.stop = context.WithCancel(context.Background())
	con.sessions = newSessions(c.Now)
	var err error
	if con.assets, err = loadAssets(files); err != nil {
		return nil, err
	}
	if con.pages, err = loadPages(files, con.assets.path); err != nil {
		return nil, err
	}
	for _, r := range routes {
		con.mux.Handle(r.method+" "+Prefix+r.path, con.serve(r))
	}
	con.mux.HandleFunc("GET "+Prefix+"static/{version}/{file}", con.assets.serve)
	con.mux.HandleFunc(Prefix, func(w http.ResponseWriter, r *http.Request) {
		con.fail(&request{Request: r, w: w, con: con, who: con.sessions.find(r)}, notFound("There is no page at this address."))
	})
	return con, nil
}

// Close ends the streams of events, which would keep a server from ending.
func (c *Console) Close() { c.stop() }

// route is one page, form or stream of events.
type route struct {
	method, path string
	kind         kind
	run          func(*request) error
}

// kind says what else a route is.
type kind int

const (
	plain  kind = iota
	public      // no session is needed
	long        // it takes as long as a function runs, or a page is open
)

// routes is the table.
var routes = []route{
	{"GET", "{$}", plain, (*request).home},
	{"GET", "signin", public, (*request).showSignIn},
	{"POST", "signin", public, (*request).signIn},
	{"POST", "signout", plain, (*request).signOut},
	{"GET", "floor", plain, (*request).showFloor},
	{"GET", "floor/events", long, (*request).floorEvents},
	{"GET", "functions", plain, (*request).listFunctions},
	{"GET", "functions/new", plain, (*request).newFunction},
	{"POST", "functions", plain, (*request).createFunction},
	{"GET", "functions/{name}", plain, (*request).showFunction},
	{"GET", "functions/{name}/state", plain, (*request).functionState},
	{"POST", "functions/{name}/invoke", long, (*request).invoke},
	{"GET", "functions/{name}/code", plain, (*request).showCode},
	{"POST", "functions/{name}/code", plain, (*request).saveCode},
	{"GET", "functions/{name}/configuration", plain, (*request).showConfiguration},
	{"POST", "functions/{name}/configuration", plain, (*request).saveConfiguration},
	{"POST", "functions/{name}/concurrency", plain, (*request).saveConcurrency},
	{"GET", "functions/{name}/versions", plain, (*request).showVersions},
	{"POST", "functions/{name}/versions", plain, (*request).publishVersion},
	{"POST", "functions/{name}/aliases", plain, (*request).saveAlias},
	{"GET", "functions/{name}/queue", plain, (*request).showQueue},
	{"POST", "functions/{name}/queue", plain, (*request).changeQueue},
	{"POST", "functions/{name}/delete", plain, (*request).deleteFunction},
	{"GET", "tenants", plain, (*request).listTenants},
	{"GET", "tenant", plain, (*request).showTenant},
	{"POST", "tenant/purge", long, (*request).purgeTenant},
	{"GET", "metrics", plain, (*request).showMetrics},
	{"GET", "egress", plain, (*request).showEgress},
	{"POST", "egress", plain, (*request).saveEgress},
	{"GET", "access", plain, (*request).showKeys},
	{"GET", "access/keys", plain, (*request).showKeys},
	{"GET", "access/roles", plain, (*request).showRoles},
	{"GET", "access/audit", plain, (*request).showAudit},
	{"GET", "usage", plain, (*request).showUsage},
	{"GET", "usage.csv", plain, (*request).usageCSV},
	{"GET", "logs", plain, (*request).showLogs},
	{"GET", "logs/events", long, (*request).logEvents},
}

// request is one request of a browser.
type request struct {
	*http.Request
	w   http.ResponseWriter
	con *Console
	who *session // nil before somebody signed in

	file []byte // of a form that has one; nil is none
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	c.mux.ServeHTTP(w, r)
}

// policy lets pages load what this node serves, and nothing else; no script or
// style stands in a page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// serve does for every route what all of them need.
func (c *Console) serve(t route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{Request: r, w: w, con: c}
		if c.Open {
			if err := c.Check(r); err != nil {
				c.fail(q, err)
				return
			}
			q.who = c.sessions.everybody()
		} else if embedded(r) {
			c.fail(q, &problem{Status: http.StatusForbidden, Title: "Another site asked for this", Detail: "Open the console itself."})
			return
		} else {
			q.who = c.sessions.find(r)
		}
		if q.who == nil && t.kind != public {
			c.askToSignIn(q)
			return
		}
		if r.Method == http.MethodPost {
			if err := q.readForm(); err != nil {
				c.fail(q, err)
				return
			}
		}
		if q.who != nil && t.kind != long {
			leave, err := q.seat()
			if err != nil {
				c.fail(q, err)
				return
			}
			defer leave()
		}
		if err := t.run(q); err != nil {
			c.fail(q, err)
		}
	})
}

// embedded says whether a page of another origin asks for something of ours for itself, to
// frame it or to measure how long it takes, say: with the cookie of who looks at that page,
// if it is of the same site, as functions' pages may be. A link may lead here.
//
// Source: https://www.w3.org/TR/fetch-metadata/
func embedded(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false // readForm looks at those
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// readForm reads the form of a POST and sees that it comes from a page of ours.
func (q *request) readForm() error {
	if err := q.con.foreign.Check(q.Request); err != nil {
		return &problem{Status: http.StatusForbidden, Title: "This form came from another site", Detail: "Open the console itself and try again."}
	}
	control := http.NewResponseController(q.w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // writers of tests cannot
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	limit := int64(maxForm)
	multipart := strings.HasPrefix(q.Header.Get("Content-Type"), "multipart/form-data")
	switch {
	case q.who == nil:
		limit = maxSignIn // it is held in memory, and anybody may send one
	case multipart:
		limit = maxUpload
	}
	q.Body = http.MaxBytesReader(q.w, q.Body, limit)
	var err error
	if multipart {
		err = q.readParts()
	} else {
		err = q.ParseForm()
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &problem{Status: http.StatusRequestEntityTooLarge, Title: "That is too large", Detail: tooLong(limit)}
	}
	if err != nil {
		return &problem{Status: http.StatusBadRequest, Title: "The form could not be read", Detail: "Go back and send it again."}
	}
	if q.who != nil && !q.who.owns(q.PostFormValue("csrf")) {
		return &problem{Status: http.StatusForbidden, Title: "This page is older than your session",
			Detail: "Go back, reload the page and send the form again; nothing was changed."}
	}
	return nil
}

// tooLong says what there was room for, and what to do with more.
func tooLong(limit int64) string {
	switch limit {
	case maxSignIn:
		return "An access key is some sixty characters. Copy its two parts once more, and nothing around them."
	case maxUpload:
		return "A zip file may have 50 MB here, as on AWS. Larger code goes by S3 (docs/operations.md: --s3-endpoint), or as a container image."
	}
	return "An event may have 6 MB, and a form some more. Nothing was sent on; make it shorter."
}

// askToSignIn sends a reader to the page for it, and tells a script so.
func (c *Console) askToSignIn(q *request) {
	out := &problem{Status: http.StatusUnauthorized, Title: "You are signed out", Detail: "Sign in and do it again; nothing was changed.", SignIn: true}
	switch {
	case strings.HasSuffix(q.URL.Path, "/events"):
		out.Detail = "The node has started again, or your session was over. Sign in to go on from here."
		c.fail(q, out)
		return
	case q.Method != http.MethodGet || q.fragment():
		c.fail(q, out)
		return
	}
	q.redirect("signin?" + url.Values{"next": {strings.TrimPrefix(q.URL.RequestURI(), Prefix)}}.Encode())
}

// fragment says whether a script asks, which wants a part of a page.
func (q *request) fragment() bool { return q.Header.Get("X-Fragment") != "" }

// origin is the node's address as the browser has it, for commands that people copy.
func (q *request) origin() string {
	if overTLS(q.Request) || q.who != nil && q.who.tls {
		return "https://" + q.Host
	}
	return "http://" + q.Host
}

// redirect sends the browser to another page of the console.
func (q *request) redirect(path string) {
	http.Redirect(q.w, q.Request, Prefix+path, http.StatusSeeOther)
}

// view is what every page is given.
type view struct {
	Title  string
	Area   string // which entry of the menu is the page's
	CSRF   string
	User   string // who is signed in, empty if nobody needs to
	Open   bool
	Node   string // where the node is, as the browser has it: "https://node.example"
	Region string
	Done   string // what was just done
	Data   any
}

// render answers with a page. Nothing is sent before it is whole.
func (q *request) render(status int, page, title, area string, data any) error {
	v := view{Title: title, Area: area, Open: q.con.Open, Node: q.origin(), Region: q.con.Region, Done: done[q.URL.Query().Get("done")], Data: data}
	if q.who != nil {
		v.CSRF, v.User = q.who.csrf, q.who.name
	}
	return q.write(status, page, "page", v)
}

// renderPart answers a script with a part of a page.
func (q *request) renderPart(status int, page, part string, data any) error {
	return q.write(status, page, part, data)
}

func (q *request) write(status int, page, part string, v any) error {
	var b bytes.Buffer
	if err := q.con.pages[page].ExecuteTemplate(&b, part, v); err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	q.w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	control := http.NewResponseController(q.w)
	_ = control.SetWriteDeadline(time.Now().Add(bodyTime)) // who does not read holds no page
	q.w.WriteHeader(status)
	if _, err := q.w.Write(b.Bytes()); err == nil && control.Flush() == nil { // else the reader has gone
		_ = control.SetWriteDeadline(time.Time{})
	}
	return nil
}

// done are the notes of what was just done, by the value of the query.
var done = map[string]string{
	"created":   "The function is created.",
	"code":      "The code is deployed.",
	"settings":  "The configuration is saved.",
	"published": "The version is published.",
	"alias":     "The alias is saved.",
	"unaliased": "The alias is deleted.",
	"reserved":  "The reserved concurrency is saved.",
	"deleted":   "The function is deleted.",
	"emptied":   "The tenant's events are removed.",
	"egress":    "The policy is changed, for what runs now too.",
	"replayed":  "The tenant's dead letters are tried again.",
	"purged":    "Everything of the tenant is off this node; what it used is kept as sums.",
}

// loadPages parses every page together with what all of them share.
func loadPages(files fs.FS, asset func(string) (string, error)) (map[string]*template.Template, error) {
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	base, err := template.New("").Funcs(functions).Funcs(template.FuncMap{"asset": asset}).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		page, err := base.Clone()
		if err == nil {
			page, err = page.ParseFS(files, name)
		}
		if err != nil {
			return nil, err
		}
		pages[strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")] = page
	}
	return pages, nil
}
