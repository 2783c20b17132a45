package lambdaapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/auth"
)

// Every operation of the table is authorised by the name that IAM has for it, on
// what its path names, before it runs (Service Authorization Reference, "Actions,
// resources, and condition keys for AWS Lambda"). An operation that neither names
// something in its path nor is listed here has no API made with it.

const (
	invokeAction = "lambda:InvokeFunction"
	asyncAction  = "lambda:InvokeAsync" // IAM has one of its own for the old operation
)

// actions are those whose IAM name is not that of the operation.
var actions = map[string]string{
	"Invoke":                   invokeAction,
	"InvokeWithResponseStream": invokeAction,
	"GetLayerVersionByArn":     getLayerAction,
}

// actionOf is the action that an operation is authorised as.
func actionOf(operation string) string {
	if action, ok := actions[operation]; ok {
		return action
	}
	return "lambda:" + operation
}

// ofAccount are operations that are about no single resource.
var ofAccount = map[string]bool{
	"CreateCapacityProvider": true, "CreateCodeSigningConfig": true, "GetAccountSettings": true, "ListCapacityProviders": true,
	"ListCodeSigningConfigs": true, "ListEventSourceMappings": true, "ListFunctions": true, "ListLayers": true,
	"CreateEventSourceMapping": true, "SendDurableExecutionCallbackFailure": true, "SendDurableExecutionCallbackHeartbeat": true,
	"SendDurableExecutionCallbackSuccess": true,
}

// ofQualifier are operations on a version or an alias, if the query names one,
// that do not say so in the type of their request.
var ofQualifier = map[string]bool{
	"DeleteFunction": true, "GetFunction": true, "GetFunctionConfiguration": true, "Invoke": true, "InvokeWithResponseStream": true,
}

// grant is what a route is authorised as, worked out once.
type grant struct {
	action string // as IAM names it
	named  string // the segment of the path that names what it is about
	at     int    // the place of that segment among the named ones
	// qualified says that the operation looks at the query's Qualifier. One that
	// does not is about the function as a whole, whatever its query says.
	qualified bool
	versioned bool // the path has a layer's version
}

// inRequest are operations that are about what their query or body names.
const (
	byLayerARN = "GetLayerVersionByArn"
	byName     = "CreateFunction"
)

// grantOf works out what a route is authorised as.
func grantOf(r *route) (grant, error) {
	g := grant{action: actionOf(r.operation)}
	if r.serve != nil && r.serve.in != nil {
		g.qualified = membersOf(r.serve.in).hasQualifier()
	}
	g.qualified = g.qualified || ofQualifier[r.operation]
	g.versioned = strings.Contains(r.path, "{VersionNumber}")
	segments, n := split(r.path)
	for _, s := range segments[:max(n, 0)] {
		name := strings.Trim(s, "{}")
		switch name {
		case s: // literal
			continue
		case "FunctionName", "LayerName", "ResourceArn", "Resource", "CodeSigningConfigArn", "UUID", "CapacityProviderName", "DurableExecutionArn":
			g.named = name
			return g, nil
		}
		g.at++
	}
	if ofAccount[r.operation] || r.operation == byLayerARN || r.operation == byName {
		return g, nil
	}
	return g, errors.New("lambdaapi: nothing says what " + r.operation + " is authorised on: see authorize.go")
}

// grants are those of a table, by operation. A route without one is a defect of
// the program.
func grants(routes []route) map[string]grant {
	m := make(map[string]grant, len(routes))
	for i := range routes {
		g, err := grantOf(&routes[i])
		if err != nil {
			panic(err)
		}
		m[routes[i].operation] = g
	}
	return m
}

// Actions are what callers of the operations that there are have to be allowed.
func Actions() []string {
	list := []string{"lambda:InvokeFunctionUrl", "iam:PassRole"}
	routes := table()
	for i := range routes {
		if routes[i].serve != nil {
			list = append(list, actionOf(routes[i].operation))
		}
	}
	return list
}

// hasQualifier says whether the query gives a request its Qualifier.
func (m *members) hasQualifier() bool {
	for _, e := range m.embeds {
		if e.of.hasQualifier() {
			return true
		}
	}
	for _, one := range m.list {
		if one.key == "Qualifier" && one.source == fromQuery {
			return true
		}
	}
	return false
}

// operation is what a call asks to be allowed. A name that cannot be read stands
// for all of its kind: the operation is going to refuse it, and until then only
// who may do the same to everything comes through.
func (a *API) operation(c *call) (auth.Operation, error) {
	g, ok := a.grants[c.route.operation]
	if !ok {
		return auth.Operation{}, alcove.PlatformError(fmt.Errorf("lambdaapi: nothing says what %s is authorised on", c.route.operation))
	}
	o := auth.Operation{Action: g.action, Request: c.request, RequestID: c.requestID}
	name := c.params[g.at%maxNamed]
	switch {
	case g.named == "FunctionName":
		o.Function = a.functionOf(c, g, name)
	case g.named == "LayerName":
		o.Resource = a.Place.LayerARN(a.layerOf(c, g, name))
	case g.named == "ResourceArn":
		o.Function = a.refOf(name, true)
	case g.named == "Resource" && strings.HasPrefix(name, a.Place.FunctionARN("")):
		o.Function = a.refOf(name, false)
	case g.named != "":
		o.Resource = name
		if id := a.signingID(name); id != name {
			if s, err := a.Catalog.Signing(id); err == nil {
				o.Tags = s.Tags
			}
		}
	case c.route.operation == byLayerARN:
		named := c.query.Get("Arn")
		at := strings.LastIndexByte(named, ':')
		o.Resource = a.Place.LayerARN(a.layerVersion(named[:max(at, 0)], named[at+1:]))
	case c.route.operation == byName:
		// What is decoded here is what the operation gets: a name that is read
		// twice might be read as two.
		in := new(createFunctionInput)
		if err := c.route.serve.members.read(c, in); err != nil {
			return o, err
		}
		c.in = in
		o.Function = a.refOf(*in.FunctionName, false)
	default:
		o.Resource = "*"
	}
	o.Asked = a.readAsked(c)
	switch g.action {
	case getLayerAction:
		o.Policy = a.layerPolicy(strings.TrimPrefix(o.Resource, a.Place.LayerARN("")))
	case invokeAction:
		// One that is malformed is none; the operation refuses it. The old
		// operation knows no tenants.
		o.Tenant, _ = tenantOf(c.request.Header)
		fallthrough
	case asyncAction:
		o.Invocation = true
		o.Reported = header(c.request.Header, "X-Amz-Invocation-Type") != "DryRun"
	}
	return o, nil
}

// functionOf reads the function of the path, and the qualifier if the operation
// does.
func (a *API) functionOf(c *call, g grant, name string) alcove.Ref {
	if !g.qualified {
		return a.refOf(name, false)
	}
	ref, err := a.ref(name, c.query.Get("Qualifier"), maxNamespacedName)
	if err != nil {
		return alcove.Ref{Name: "*"}
	}
	return ref
}

func (a *API) refOf(name string, qualified bool) alcove.Ref {
	ref, err := a.ref(name, "", maxNamespacedName)
	if err != nil {
		return alcove.Ref{Name: "*"}
	}
	if !qualified {
		ref.Qualifier = ""
	}
	return ref
}

// layerOf reads the layer of the path, and its version if the path has one.
func (a *API) layerOf(c *call, g grant, named string) string {
	if g.versioned {
		return a.layerVersion(named, c.param("VersionNumber"))
	}
	name, err := a.layerName(named)
	if err != nil {
		return "*"
	}
	return name
}

// layerVersion reads a version of a layer; numbers are written in one way.
func (a *API) layerVersion(named, version string) string {
	name, err := a.layerName(named)
	number, notNumber := strconv.Atoi(version)
	if err != nil || notNumber != nil || name == "" {
		return "*"
	}
	return name + ":" + strconv.Itoa(number)
}
