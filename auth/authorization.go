package auth

import (
	"net/http"
	"strings"

	"github.com/alcove-run/alcove"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
)

// scope is what a signing key is derived for.
type scope struct {
	key, date, region, service string
}

// claim is what a request's headers say about who signed it, and how.
type claim struct {
	scope      scope
	terminator string
	// signedHeaders is the list as sent: lower-case names, ascending, none
	// twice, with ';' between them.
	signedHeaders string
	signature     string     // 64 digits of lower-case hexadecimal
	date          string     // X-Amz-Date
	principal     *principal // whose key it is
}

// parseAuthorization reads the value of an Authorization header
// (AWS, "Create a signed AWS API request", step 5).
func parseAuthorization(value string) (claim, error) {
	name, rest, ok := strings.Cut(value, " ")
	if name != algorithm {
		return claim{}, alcove.ClientError(CodeIncompleteSignature,
			"The Authorization header must begin with '%s'.", algorithm)
	}
	if !ok {
		rest = ""
	}
	var c claim
	var credential string
	for part := range strings.SplitSeq(rest, ",") {
		key, value, ok := strings.Cut(strings.Trim(part, " "), "=")
		if !ok {
			return claim{}, alcove.ClientError(CodeIncompleteSignature,
				"The Authorization header has a part that is not a key=value pair (missing equal-sign).")
		}
		var to *string
		switch key {
		case "Credential":
			to = &credential
		case "SignedHeaders":
			to = &c.signedHeaders
		case "Signature":
			to = &c.signature
		}
		if to == nil || *to != "" {
			return claim{}, alcove.ClientError(CodeIncompleteSignature,
				"The Authorization header has a part that does not belong there, or one twice.")
		}
		*to = value
	}
	for _, part := range [...]struct{ name, value string }{
		{"Credential", credential}, {"Signature", c.signature}, {"SignedHeaders", c.signedHeaders},
	} {
		if part.value == "" {
			return claim{}, alcove.ClientError(CodeIncompleteSignature,
				"Authorization header requires '%s' parameter.", part.name)
		}
	}
	if err := c.readCredential(credential); err != nil {
		return claim{}, err
	}
	if !lowerHex(c.signature) || len(c.signature) != 64 {
		return claim{}, mismatch()
	}
	return c, nil
}

// readCredential reads key/date/region/service/aws4_request.
func (c *claim) readCredential(credential string) error {
	var ok [4]bool
	c.scope.key, credential, ok[0] = strings.Cut(credential, "/")
	c.scope.date, credential, ok[1] = strings.Cut(credential, "/")
	c.scope.region, credential, ok[2] = strings.Cut(credential, "/")
	c.scope.service, c.terminator, ok[3] = strings.Cut(credential, "/")
	if ok != [4]bool{true, true, true, true} {
		return alcove.ClientError(CodeIncompleteSignature,
			"Credential must have at least 5 slash-delimited parts: key/date/region/service/%s.", terminator)
	}
	return nil
}

// checkSigned sees that the list of signed headers is well formed and covers
// what it must.
func checkSigned(h http.Header, list string) error {
	var host, date bool
	last := ""
	for name := range strings.SplitSeq(list, ";") {
		if name <= last || !headerName(name) {
			return alcove.ClientError(CodeIncompleteSignature,
				"SignedHeaders must be lower-case header names in ascending order, each once, separated by ';'.")
		}
		last = name
		host = host || name == "host"
		date = date || name == "x-amz-date"
	}
	if !host {
		return invalid("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if !date {
		return invalid("'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-") || name == "X-Amzn-Tenant-Id" {
			if !listed(list, name) {
				return invalid("'%s' must be a 'SignedHeader' in the AWS Authorization.", name)
			}
		}
	}
	return nil
}

// listed says whether a header's canonical name is in a list of signed headers.
func listed(list, name string) bool {
	for one := range strings.SplitSeq(list, ";") {
		if len(one) == len(name) && strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}

func headerName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || c == ':' || c == ',' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return s != ""
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
