package main

import (
	"net/http"

	"github.com/alcove-run/alcove/auth"
	"github.com/alcove-run/alcove/console"
	"github.com/alcove-run/alcove/gateway"
)

// openConsole puts the pages under /console/ in front of a handler of the APIs,
// which is all that they are made from.
func (n *node) openConsole(g *gateway.Config) error {
	var apis http.Handler
	pages, err := console.New(console.Config{
		API:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { apis.ServeHTTP(w, r) }),
		Check: auth.CheckLoopback, Open: n.auth.Mode() == auth.ModeNone,
		Region: n.cfg.Region, Log: n.log,
	})
	if err != nil {
		return err
	}
	apis = gateway.New(*g) // without the pages
	g.Console = pages
	n.stopPages = pages.Close
	return nil
}
