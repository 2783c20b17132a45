package pool

// Why a call found nothing quicker.
const (
	whyFirstOfTenant   = "first call of the tenant"
	whyTenantBusy      = "the tenant's environments were busy"
	whyFirstOfVersion  = "first call of the version"
	whyStockEmpty      = "stock was empty"
	whyStockOff        = "stock is off"
	whyNoTenants       = "no idle environment" // and stock is for tenants
	whyInitFailed      = "Init failed before"
	whyRuntimeEmpty    = "runtime stock was empty"
	whyRuntimeStockOff = "runtime stock is off"
	whyNotSpecialised  = "an environment of the runtime stock failed"
)

// whyNotStock tells why a call for g gets nothing from st.
//
// Preconditions: p.mu is held.
func whyNotStock(g *group, st *stock, o StartOptions) string {
	switch {
	case o.Suppressed:
		return whyInitFailed
	case !g.version.Isolated():
		return whyNoTenants
	case st == nil:
		return whyStockOff
	case st.demand.Last.IsZero():
		return whyFirstOfVersion
	}
	return whyStockEmpty
}

// whyNotIdle tells why a call for g does not find one of its tenant's.
func whyNotIdle(g *group) string {
	switch {
	case !g.version.Isolated():
		return whyNoTenants
	case g.entries == 0:
		return whyFirstOfTenant
	}
	return whyTenantBusy
}
