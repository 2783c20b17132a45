package telemetry

import (
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
)

// EgressRefused is platform.egressRefused, which AWS does not have: code wanted to
// reach something that a policy refuses.
type EgressRefused struct {
	Time        time.Time
	Tenant      alcove.Tenant
	Protocol    string // tcp, udp, or dns for a name
	Destination string // may hold a name that code asked for
	Rule        string
	More        int64 // refusals before it that have no records
}

// AppendJSON implements Record.
func (r *EgressRefused) AppendJSON(dst []byte) []byte {
	dst = append(appendEnvelope(dst, r.Time, "platform.egressRefused"), '{')
	dst = appendMember(dst, "tenantId", string(r.Tenant))
	dst = appendMember(dst, "protocol", r.Protocol)
	dst = appendMember(dst, "destination", r.Destination)
	dst = appendMember(dst, "rule", r.Rule)
	if r.More > 0 {
		dst = strconv.AppendInt(appendName(dst, "notLogged"), r.More, 10)
	}
	return append(dst, "}}"...)
}

// AppendText implements Record.
func (r *EgressRefused) AppendText(dst []byte) []byte {
	dst = append(dst, "EGRESS_REFUSED "...)
	if r.Tenant != "" {
		dst = append(append(append(dst, "Tenant ID: "...), r.Tenant...), '\t')
	}
	dst = append(append(append(dst, "Protocol: "...), r.Protocol...), "\tDestination: "...)
	for _, c := range []byte(r.Destination) { // one line, and what it looks like
		if c < 0x20 || c == 0x7f {
			c = '?'
		}
		dst = append(dst, c)
	}
	dst = append(append(dst, "\tRule: "...), r.Rule...)
	if r.More > 0 {
		dst = strconv.AppendInt(append(dst, "\tNot logged before: "...), r.More, 10)
	}
	return append(dst, '\n')
}

// Level implements Record.
func (r *EgressRefused) Level() Level { return LevelWarn }
