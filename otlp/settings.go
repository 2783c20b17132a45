package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alcove-run/alcove"
)

// Settings are where telemetry goes, and how: an endpoint, and OpenTelemetry's
// environment variables.
//
// Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
type Settings struct {
	// Targets has the signals that are sent.
	Targets map[Signal]Target
	// Every is how often metrics are sent.
	Every time.Duration
	// Service and Attributes say what sends.
	Service    string
	Attributes []alcove.Attribute
	// Describe tells of a metric; it is set by who collects.
	Describe func(name string) Description

	tls *tls.Config
}

// Target is where one signal goes.
type Target struct {
	URL     string
	Headers map[string]string // may be secrets
	Gzip    bool
	Timeout time.Duration
}

// shown is the URL without what may be secret in it.
func (t Target) shown() string {
	u, err := url.Parse(t.URL)
	if err != nil {
		return "an endpoint that is no URL"
	}
	u.RawQuery = ""
	return u.Redacted()
}

// Read makes settings of an endpoint, which may be empty, and of environment
// variables. Without an endpoint in either there are no targets.
func Read(endpoint string, getenv func(string) string) (Settings, error) {
	s := Settings{Targets: make(map[Signal]Target), Every: time.Minute, Service: "alcove"}
	if endpoint == "" {
		endpoint = getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	if getenv("OTEL_SDK_DISABLED") == "true" {
		endpoint, getenv = "", func(string) string { return "" }
	}
	for _, signal := range Signals() {
		t, on, err := target(signal, endpoint, getenv)
		if err != nil {
			return s, err
		}
		if on {
			s.Targets[signal] = t
		}
	}
	if len(s.Targets) == 0 {
		return s, nil
	}
	if v := getenv("OTEL_METRIC_EXPORT_INTERVAL"); v != "" {
		ms, err := strconv.Atoi(v)
		if err != nil || ms < 1 {
			return s, fmt.Errorf("OTEL_METRIC_EXPORT_INTERVAL %q: give milliseconds", v)
		}
		s.Every = time.Duration(ms) * time.Millisecond
	}
	attributes, err := pairs(getenv("OTEL_RESOURCE_ATTRIBUTES"))
	if err != nil {
		return s, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	for _, a := range attributes {
		if a.Key == "service.name" {
			s.Service = a.Text
			continue
		}
		s.Attributes = append(s.Attributes, a)
	}
	if name := getenv("OTEL_SERVICE_NAME"); name != "" {
		s.Service = name
	}
	return s, s.readTLS(getenv)
}

// target reads where a signal goes. What is set for the signal alone comes before what
// is set for all.
func target(signal Signal, endpoint string, getenv func(string) string) (t Target, on bool, err error) {
	upper := strings.ToUpper(string(signal))
	get := func(name string) (value, variable string) {
		variable = "OTEL_EXPORTER_OTLP_" + upper + "_" + name
		if value = getenv(variable); value == "" {
			variable = "OTEL_EXPORTER_OTLP_" + name
			value = getenv(variable)
		}
		return value, variable
	}
	if v := getenv("OTEL_" + upper + "_EXPORTER"); v == "none" {
		return t, false, nil
	} else if v != "" && v != "otlp" {
		return t, false, fmt.Errorf("OTEL_%s_EXPORTER %q: otlp or none", upper, v)
	}
	own := "OTEL_EXPORTER_OTLP_" + upper + "_ENDPOINT"
	t = Target{URL: getenv(own), Timeout: 10 * time.Second}
	if t.URL == "" {
		if endpoint == "" {
			return t, false, nil
		}
		own, t.URL = "--otlp-endpoint", strings.TrimSuffix(endpoint, "/")+"/v1/"+string(signal)
	}
	u, err := url.Parse(t.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return t, false, fmt.Errorf("%s: give a URL, as http://127.0.0.1:4318", own)
	}
	if v, name := get("PROTOCOL"); v != "" && v != "http/protobuf" {
		return t, false, fmt.Errorf("%s %q: only http/protobuf is spoken; collectors listen for it on port 4318", name, v)
	}
	if v, name := get("COMPRESSION"); v == "gzip" {
		t.Gzip = true
	} else if v != "" && v != "none" {
		return t, false, fmt.Errorf("%s %q: gzip or none", name, v)
	}
	if v, name := get("TIMEOUT"); v != "" {
		ms, err := strconv.Atoi(v)
		if err != nil || ms < 1 {
			return t, false, fmt.Errorf("%s %q: give milliseconds", name, v)
		}
		t.Timeout = time.Duration(ms) * time.Millisecond
	}
	v, name := get("HEADERS")
	headers, err := pairs(v)
	if err != nil {
		return t, false, fmt.Errorf("%s: %w", name, err) // the value may be a secret
	}
	t.Headers = make(map[string]string, len(headers))
	for _, h := range headers {
		if strings.ContainsAny(h.Key+h.Text, "\r\n\x00") {
			return t, false, fmt.Errorf("%s: not a header", name)
		}
		t.Headers[h.Key] = h.Text
	}
	return t, true, nil
}

// pairs reads key=value, separated by commas, with what is not plain in the form of
// URLs.
func pairs(s string) (list []alcove.Attribute, err error) {
	for one := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(one) == "" {
			continue
		}
		k, v, ok := strings.Cut(one, "=")
		k, kerr := url.PathUnescape(strings.TrimSpace(k))
		v, verr := url.PathUnescape(strings.TrimSpace(v))
		if !ok || k == "" || kerr != nil || verr != nil {
			return nil, fmt.Errorf("give name=value, separated by commas")
		}
		list = append(list, alcove.Attribute{Key: k, Text: v})
	}
	return list, nil
}

// readTLS reads the certificates that are named.
func (s *Settings) readTLS(getenv func(string) string) error {
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if file := getenv("OTEL_EXPORTER_OTLP_CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		s.tls.RootCAs = x509.NewCertPool()
		if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: no certificate in %s", file)
		}
	}
	cert, key := getenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"), getenv("OTEL_EXPORTER_OTLP_CLIENT_KEY")
	if cert == "" && key == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _KEY: %w", err)
	}
	s.tls.Certificates = []tls.Certificate{pair}
	return nil
}

// transport connects for all signals.
func (s Settings) transport() *http.Transport {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: s.tls, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: len(s.Targets), IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10}
}
