package lambdaapi

import (
	"context"
	"net"
	"net/http"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
)

// urlInput names a function or an alias.
type urlInput struct {
	FunctionName *string `from:"path" is:"FunctionUrlFunctionName"`
	Qualifier    *string `from:"query" is:"FunctionUrlQualifier"`
}

func (in *urlInput) ref(a *API) (alcove.Ref, error) {
	named := qualifiedInput(*in)
	return named.ref(a)
}

// corsShape is AWS's Cors.
type corsShape struct {
	AllowCredentials *bool    `json:",omitempty"`
	AllowHeaders     []string `json:",omitempty" is:"HeadersList"`
	AllowMethods     []string `json:",omitempty" is:"AllowMethodsList"`
	AllowOrigins     []string `json:",omitempty" is:"AllowOriginsList"`
	ExposeHeaders    []string `json:",omitempty" is:"HeadersList"`
	MaxAge           *int     `json:",omitempty" is:"MaxAge"`
}

// urlCreated is what CreateFunctionUrlConfig answers.
type urlCreated struct {
	FunctionUrl  string
	FunctionArn  string
	AuthType     string
	Cors         *corsShape `json:",omitempty"`
	CreationTime string
	InvokeMode   string `json:",omitempty"`
}

// urlOutput is AWS's FunctionUrlConfig.
type urlOutput struct {
	urlCreated
	LastModifiedTime string
}

// urlTime is how members of function URLs write times.
const urlTime = "2006-01-02T15:04:05.000000Z"

// describeURL describes a URL as Get and List do; Create and Update leave a mode
// out that they were not given (recorded from the service).
func (a *API) describeURL(c *call, e catalog.URLEntry) *urlOutput {
	return &urlOutput{urlCreated{FunctionUrl: a.functionURL(c.request, e.URL.ID), FunctionArn: e.ARN, AuthType: e.URL.AuthType, Cors: (*corsShape)(e.URL.Cors),
		CreationTime: e.URL.Created.UTC().Format(urlTime), InvokeMode: e.URL.InvokeMode}, e.URL.LastModified.UTC().Format(urlTime)}
}

// functionURL is the URL with an id on the listener that r came to. Names below
// localhost are the machine's own (RFC 6761, section 6.3); an address has none.
func (a *API) functionURL(r *http.Request, id string) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		host = "localhost"
	}
	if port != "" {
		host = net.JoinHostPort(host, port)
	}
	return scheme + "://" + id + ".lambda-url." + a.Place.Region + "." + host + "/"
}

type createURLInput struct {
	urlInput
	AuthType   *string `is:"FunctionUrlAuthType,required"`
	Cors       *corsShape
	InvokeMode *string `is:"InvokeMode"`
}

func createURL(a *API, ctx context.Context, caller alcove.Caller, c *call, in *createURLInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	url := alcove.FunctionURL{AuthType: *in.AuthType, Cors: (*alcove.Cors)(in.Cors), InvokeMode: "BUFFERED"}
	set(&url.InvokeMode, in.InvokeMode)
	made, err := a.Catalog.CreateURL(ctx, caller, ref, url)
	if err != nil {
		return reply{}, err
	}
	out := a.describeURL(c, made).urlCreated
	if in.InvokeMode == nil {
		out.InvokeMode = ""
	}
	return reply{status: http.StatusCreated, body: out}, nil
}

type updateURLInput struct {
	urlInput
	AuthType   *string `is:"FunctionUrlAuthType"`
	Cors       *corsShape
	InvokeMode *string `is:"InvokeMode"`
}

func updateURL(a *API, ctx context.Context, caller alcove.Caller, c *call, in *updateURLInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	made, err := a.Catalog.UpdateURL(ctx, caller, ref, func(url *alcove.FunctionURL) {
		set(&url.AuthType, in.AuthType)
		set(&url.InvokeMode, in.InvokeMode)
		if in.Cors != nil {
			url.Cors = (*alcove.Cors)(in.Cors)
		}
	})
	if err != nil {
		return reply{}, err
	}
	out := a.describeURL(c, made)
	if in.InvokeMode == nil {
		out.InvokeMode = ""
	}
	return reply{status: http.StatusOK, body: out}, nil
}

func getURL(a *API, _ context.Context, _ alcove.Caller, c *call, in *urlInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	e, err := a.Catalog.URL(ref)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: a.describeURL(c, e)}, nil
}

func deleteURL(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *urlInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	return done(a.Catalog.DeleteURL(ctx, caller, ref))
}

type listURLsOutput struct {
	FunctionUrlConfigs []*urlOutput
	NextMarker         string `json:",omitempty"`
}

func listURLs(a *API, _ context.Context, _ alcove.Caller, c *call, in *listConfigsInput) (reply, error) {
	function, marker, max, err := in.page(a)
	if err != nil {
		return reply{}, err
	}
	list, next, err := a.Catalog.URLs(function, marker, max)
	if err != nil {
		return reply{}, err
	}
	out := listURLsOutput{FunctionUrlConfigs: make([]*urlOutput, len(list)), NextMarker: next}
	for i, e := range list {
		out.FunctionUrlConfigs[i] = a.describeURL(c, e)
	}
	return reply{status: http.StatusOK, body: out}, nil
}
