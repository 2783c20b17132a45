package main

import (
	"github.com/alcove-run/alcove/gateway"
	"github.com/alcove-run/alcove/urlapi"
)

// openURLs has functions answer by their own URLs.
func (n *node) openURLs(g *gateway.Config) {
	g.URLs = urlapi.New(urlapi.Config{Auth: n.auth, Find: n.catalog.FindURL, Invoker: n.invoker, Log: n.log})
}
