package invoke

import "github.com/alcove-run/alcove"

// checkTenancy holds AWS's rule: an isolated function is invoked with a tenant
// id, any other without.
func checkTenancy(v *alcove.Version, t alcove.Tenant) error {
	switch {
	case v.Isolated() && t == "":
		return alcove.InvalidParameter("The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again.")
	case !v.Isolated() && t != "":
		return alcove.InvalidParameter("The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again.")
	}
	return nil
}

// checkState refuses versions that cannot run yet, or ever.
func checkState(v *alcove.Version) error {
	if v.State == alcove.StateActive {
		return nil
	}
	return alcove.ClientError(alcove.CodeResourceConflict,
		"The operation cannot be performed at this time. The function is currently in the following state: %s", v.State)
}
