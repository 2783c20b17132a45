package runtimeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// API is one of the two that subscriptions are made with.
type API int

// The APIs.
const (
	TelemetryAPI API = iota
	LogsAPI
)

func (a API) word() string {
	if a == LogsAPI {
		return "Logs"
	}
	return "Telemetry"
}

// Schemas of subscriptions.
const (
	Schema20220701 = "2022-07-01"
	Schema20221213 = "2022-12-13"
	Schema20250129 = "2025-01-29"
	LogsSchema2020 = "2020-08-15"
	LogsSchema2021 = "2021-03-18"
)

// Subscription is what an extension wants to be told, and where.
type Subscription struct {
	API    API
	Schema string
	Types  []string // of platform, function and extension; each once
	// Port is the listener's, in the sandbox: the only place there is.
	Port int
	// Path is that of an HTTP listener, with its query; empty says that it is one of
	// lines over TCP.
	Path string
	// Put is the method to use instead of POST.
	Put bool

	MaxItems, MaxBytes, TimeoutMs int
}

// Ranges of buffering, with what holds if nothing is said (developer guide,
// "Telemetry API reference").
var (
	maxItemsRange  = bounds{1000, 10000, 10000}
	maxBytesRange  = bounds{256 << 10, 1 << 20, 256 << 10}
	timeoutMsRange = bounds{25, 30000, 1000}
)

type bounds struct{ least, most, usual int }

// of checks a value, which may be missing.
func (b bounds) of(name string, given *int) (int, error) {
	switch {
	case given == nil:
		return b.usual, nil
	case *given < b.least || *given > b.most:
		return 0, fmt.Errorf("%s should be between %d and %d", name, b.least, b.most)
	}
	return *given, nil
}

// maxTelemetryPath bounds what of an address is kept.
const maxTelemetryPath = 1024

// sandboxHosts are the names by which a sandbox knows itself.
var sandboxHosts = []string{"sandbox.localdomain", "sandbox"}

// ParseSubscription reads a subscription. An error says all that is wrong with it.
func ParseSubscription(raw []byte, api API) (Subscription, error) {
	var in struct {
		Schema      string   `json:"schemaVersion"`
		Types       []string `json:"types"`
		Destination *struct {
			Protocol string `json:"protocol"`
			URI      string `json:"URI"`
			Port     *int   `json:"port"`
			Method   string `json:"method"`
			Encoding string `json:"encoding"`
		} `json:"destination"`
		Buffering struct {
			MaxItems  *int `json:"maxItems"`
			MaxBytes  *int `json:"maxBytes"`
			TimeoutMs *int `json:"timeoutMs"`
		} `json:"buffering"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return Subscription{}, fmt.Errorf("Invalid JSON: %w", err) //nolint:staticcheck // a client reads it
	}
	s := Subscription{API: api, Schema: in.Schema}
	var wrong []string
	bad := func(err error) {
		if err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	bad(s.schema())
	bad(s.types(in.Types))
	switch d := in.Destination; {
	case d == nil:
		bad(errors.New("destination is not provided"))
	case strings.EqualFold(d.Protocol, "HTTP"):
		bad(s.http(d.URI))
		s.Put = api == LogsAPI && d.Method == "PUT"
		if api == LogsAPI && d.Method != "" && d.Method != "PUT" && d.Method != "POST" {
			bad(errors.New("method should be POST or PUT"))
		}
		if d.Encoding != "" && d.Encoding != "JSON" {
			bad(errors.New("encoding should be JSON"))
		}
	case strings.EqualFold(d.Protocol, "TCP"):
		if d.Port == nil || *d.Port < 1 || *d.Port > 65535 {
			bad(errors.New("port should be between 1 and 65535"))
			break
		}
		s.Port = *d.Port
	default:
		bad(errors.New("protocol should be HTTP or TCP"))
	}
	var err error
	s.MaxItems, err = maxItemsRange.of("maxItems", in.Buffering.MaxItems)
	bad(err)
	s.MaxBytes, err = maxBytesRange.of("maxBytes", in.Buffering.MaxBytes)
	bad(err)
	s.TimeoutMs, err = timeoutMsRange.of("timeoutMs", in.Buffering.TimeoutMs)
	bad(err)
	if wrong != nil {
		return Subscription{}, errors.New(strings.Join(wrong, "; "))
	}
	return s, nil
}

func (s *Subscription) schema() error {
	known := []string{Schema20220701, Schema20221213, Schema20250129}
	if s.API == LogsAPI {
		known = []string{LogsSchema2020, LogsSchema2021}
		if s.Schema == "" {
			s.Schema = LogsSchema2020
		}
	}
	if !slices.Contains(known, s.Schema) {
		return fmt.Errorf("schemaVersion should be one of %s", strings.Join(known, ", "))
	}
	return nil
}

func (s *Subscription) types(given []string) error {
	if len(given) == 0 {
		return errors.New("types should not be empty")
	}
	for _, t := range given {
		if t != "platform" && t != "function" && t != "extension" {
			return errors.New("types should be of platform, function, extension")
		}
		if !slices.Contains(s.Types, t) {
			s.Types = append(s.Types, t)
		}
	}
	return nil
}

// http takes an address, which has to be the sandbox's own.
func (s *Subscription) http(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Scheme != "http" || u.Opaque != "" || u.User != nil:
		return errors.New("URI is not valid")
	case !slices.Contains(sandboxHosts, u.Hostname()):
		return errors.New("URI host should be sandbox.localdomain")
	case u.Port() == "":
		return errors.New("URI port is not provided")
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil || port < 1 || port > 65535 {
		return errors.New("URI port should be between 1 and 65535")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	for i := range len(path) {
		if path[i] <= ' ' || path[i] > '~' {
			return errors.New("URI is not valid")
		}
	}
	if len(path) > maxTelemetryPath || path[0] != '/' {
		return errors.New("URI is not valid")
	}
	s.Port, s.Path = port, path
	return nil
}
