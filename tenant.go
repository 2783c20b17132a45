package alcove

import "regexp"

// Tenant names the tenant that an invocation runs for: 1 to 256 characters of
// AWS's pattern. The zero value is "no tenant", which is right only for
// functions without tenant isolation.
//
// It is opaque to alcove and never part of a path, a cgroup name or a subject.
type Tenant string

// TenantPattern is AWS's pattern for a tenant id (botocore, lambda 2015-03-31,
// shape TenantId).
const TenantPattern = `[a-zA-Z0-9\._:\/=+\-@ ]+`

// MaxTenantLength is the longest tenant id, in characters.
const MaxTenantLength = 256

var tenantPattern = regexp.MustCompile(`^(?:` + TenantPattern + `)$`)

// ParseTenant checks a tenant id as a client sent it.
//
// Ids that begin or end with a space, or have two in a row, are refused though
// AWS's pattern has them: proxies and HTTP libraries fold such spaces, and two
// spellings of one id would be two tenants to one party and one to another.
func ParseTenant(s string) (Tenant, error) {
	switch {
	case s == "":
		return "", tenantError(s, "Member must have length greater than or equal to 1")
	case len(s) > MaxTenantLength:
		return "", tenantError(s, "Member must have length less than or equal to 256")
	case !tenantPattern.MatchString(s):
		return "", tenantError(s, "Member must satisfy regular expression pattern: "+TenantPattern)
	}
	for i := range len(s) {
		if s[i] == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' ') {
			return "", tenantError(s, "Member must not begin or end with a space, or have two in a row")
		}
	}
	return Tenant(s), nil
}

func tenantError(value, constraint string) *Error {
	return ClientError(CodeValidation,
		"1 validation error detected: Value '%s' at 'tenantId' failed to satisfy constraint: %s", value, constraint)
}
