package policy

import (
	"cmp"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Request is what a caller wants to do, and all that conditions may ask about it.
type Request struct {
	Action   string // such as lambda:InvokeFunction
	Resource string // an ARN, or "*" for what has none

	Principal Principal // zero is nobody in particular
	Account   string    // whose the resource is, if it is not the principal's
	Time      time.Time
	Source    netip.Addr // invalid if it is not known
	Secure    bool       // the request came over TLS
	Region    string

	// FunctionARN is the unqualified ARN of the function that the request is
	// about, Tags its tags; empty if it is about none.
	FunctionARN string
	Tags        map[string]string
	// Tenant is the tenant that the request names, or whose records it would
	// read; empty is none.
	Tenant string
	// URLAuthType is NONE or AWS_IAM if the request came by a function's URL.
	URLAuthType string
	Asked       Asked
	// AnyTenant asks whether there may be a tenant for which the request is
	// allowed: conditions on the tenant hold in what allows, and do not in what
	// denies. Tenant is not looked at.
	AnyTenant bool
}

// Asked is what a request would have, as far as conditions ask about it; what is
// empty is not asked for.
type Asked struct {
	URLAuthType   string            // the type of a function's URL
	Tags          map[string]string // to be set
	TagKeys       []string          // of tags to be set or taken away
	Layers        []string          // ARNs of versions that a function is to have
	Principal     string            // whom a permission is for
	SigningConfig string            // the ARN of a function's code signing configuration
	PassedTo      string            // the service that a role is to be given to
}

// Principal is who makes a request.
type Principal struct {
	ARN, Account, UserID, Name string
}

// keyID tells the keys apart that have values.
type keyID uint8

const (
	absent keyID = iota // a key that no request has
	currentTime
	epochTime
	principalAccount
	principalARN
	principalType
	requestedRegion
	resourceAccount
	resourceTag // aws:ResourceTag/NAME
	secureTransport
	sourceIP
	userID
	userName
	viaService
	functionARN
	viaURL
	urlAuthType
	tenantID
	requestTag // aws:RequestTag/NAME
	lambdaPrincipal
	signingConfig
	passedTo
	// Keys from here on may have many values.
	tagKeys
	layers
)

// many says that a key may have more than one value.
func (id keyID) many() bool { return id >= tagKeys }

// key is a condition key as a policy names it; sub is what stands behind its
// slash.
type key struct {
	id  keyID
	sub string
}

// known are the condition keys that a policy of a key may name, in lower case.
// Those that are absent are known to AWS and never there for the access key of a
// user without a session, an organisation or a network of AWS's.
var known = map[string]keyID{
	"aws:currenttime":              currentTime,
	"aws:epochtime":                epochTime,
	"aws:principalaccount":         principalAccount,
	"aws:principalarn":             principalARN,
	"aws:principaltype":            principalType,
	"aws:requestedregion":          requestedRegion,
	"aws:resourceaccount":          resourceAccount,
	"aws:requesttag/":              requestTag,
	"aws:resourcetag/":             resourceTag,
	"aws:securetransport":          secureTransport,
	"aws:sourceip":                 sourceIP,
	"aws:tagkeys":                  tagKeys,
	"aws:userid":                   userID,
	"aws:username":                 userName,
	"aws:viaawsservice":            viaService,
	"iam:passedtoservice":          passedTo,
	"lambda:codesigningconfigarn":  signingConfig,
	"lambda:functionarn":           functionARN,
	"lambda:functionurlauthtype":   urlAuthType,
	"lambda:invokedviafunctionurl": viaURL,
	"lambda:layer":                 layers,
	"lambda:principal":             lambdaPrincipal,
	"lambda:tenantid":              tenantID,

	"lambda:eventsourcetoken":    absent, // event source mappings' and
	"lambda:sourcefunctionarn":   absent, // functions' own calls, networks of AWS
	"lambda:securitygroupids":    absent,
	"lambda:subnetids":           absent,
	"lambda:vpcids":              absent,
	"aws:calledvia":              absent,
	"aws:calledviafirst":         absent,
	"aws:calledvialast":          absent,
	"aws:federatedprovider":      absent,
	"aws:multifactorauthage":     absent,
	"aws:multifactorauthpresent": absent,
	"aws:principalisawsservice":  absent,
	"aws:principalorgid":         absent,
	"aws:principalorgpaths":      absent,
	"aws:principalservicename":   absent,
	"aws:principaltag/":          absent,
	"aws:sourceaccount":          absent,
	"aws:sourcearn":              absent,
	"aws:sourceidentity":         absent,
	"aws:sourceorgid":            absent,
	"aws:sourcevpc":              absent,
	"aws:sourcevpce":             absent,
	"aws:tokenissuetime":         absent,
	"aws:vpcsourceip":            absent,
}

// key reads the name of a condition key.
func (c *compiler) key(name string) (key, error) {
	vendor, _, ok := strings.Cut(name, ":")
	if !ok || vendor == "" {
		return key{}, malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
	}
	name, sub, slash := strings.Cut(name, "/")
	name = strings.ToLower(name)
	if slash {
		name += "/"
	}
	id, ok := known[name]
	if slash && sub == "" {
		ok = false
	}
	if !ok && !c.lenient {
		return key{}, malformed("The condition key %s%s is not supported.", name, sub)
	}
	return key{id, sub}, nil
}

// value is what a request has for a key.
func (r *Request) value(k *key) (string, bool) {
	switch k.id {
	case currentTime:
		return r.Time.UTC().Format(time.RFC3339), true
	case epochTime:
		return strconv.FormatInt(r.Time.Unix(), 10), true
	case principalAccount:
		return there(r.Principal.Account)
	case principalARN:
		return there(r.Principal.ARN)
	case principalType:
		if r.Principal == (Principal{}) {
			return "Anonymous", true
		}
		return "User", true
	case requestedRegion:
		return there(r.Region)
	case resourceAccount: // there are no resources of others
		return there(cmp.Or(r.Account, r.Principal.Account))
	case resourceTag:
		return tag(r.Tags, k.sub)
	case requestTag:
		return tag(r.Asked.Tags, k.sub)
	case lambdaPrincipal:
		return there(r.Asked.Principal)
	case passedTo:
		return there(r.Asked.PassedTo)
	case signingConfig:
		return there(r.Asked.SigningConfig)
	case secureTransport:
		return strconv.FormatBool(r.Secure), true
	case sourceIP:
		if !r.Source.IsValid() {
			return "", false
		}
		return r.Source.Unmap().WithZone("").String(), true
	case userID:
		return there(r.Principal.UserID)
	case userName:
		return there(r.Principal.Name)
	case viaService:
		return "false", true
	case viaURL:
		return strconv.FormatBool(r.URLAuthType != ""), true
	case urlAuthType:
		return there(cmp.Or(r.URLAuthType, r.Asked.URLAuthType))
	case functionARN:
		return there(r.FunctionARN)
	case tenantID:
		return there(r.Tenant)
	}
	return "", false
}

func there(s string) (string, bool) { return s, s != "" }

// all gives what a request has for a key that may have many values.
func (r *Request) all(k *key) []string {
	switch k.id {
	case tagKeys:
		return r.Asked.TagKeys
	case layers:
		return r.Asked.Layers
	}
	return nil
}

// tag finds a tag by its key in any case, as condition keys are; the exact one
// goes first.
func tag(tags map[string]string, name string) (string, bool) {
	if v, ok := tags[name]; ok {
		return v, true
	}
	least, value, found := "", "", false
	for k, v := range tags {
		if strings.EqualFold(k, name) && (!found || k < least) {
			least, value, found = k, v, true
		}
	}
	return value, found
}
