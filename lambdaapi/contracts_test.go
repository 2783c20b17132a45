package lambdaapi

import (
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/catalog"
	"github.com/alcove-run/alcove/invoke"
	"github.com/alcove-run/alcove/invoke/async"
	"github.com/alcove-run/alcove/runtimes"
)

// What a node puts behind the API fits.
var (
	_ Authenticator = (*auth.Auth)(nil)
	_ Catalog       = (*catalog.Catalog)(nil)
	_ Artifacts     = (*artifact.Store)(nil)
	_ Invoker       = (*invoke.Invoker)(nil)
	_ Events        = (*async.Queue)(nil)
	_ Runtimes      = (*runtimes.Set)(nil)
)
