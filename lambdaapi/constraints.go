package lambdaapi

import (
	"math"
	"regexp"
	"strings"
)

// constraint is what the values of a shape of AWS's model satisfy. A zero member
// is no constraint.
type constraint struct {
	min, max int // of a text's length in characters, of a list's, or of a number
	pattern  *pattern
	enum     []string
	// list and map constrain what lists and maps hold.
	elem       *constraint
	key, value *constraint
}

// unbounded is the max of numbers that have only a least.
const unbounded = math.MaxInt

// pattern is a regular expression of AWS's model, which always stands for the
// whole value.
type pattern struct {
	text  string // as messages quote it
	match func(string) bool
}

// whole compiles a pattern.
func whole(expression string) *pattern {
	return &pattern{expression, regexp.MustCompile("^(?:" + expression + ")$").MatchString}
}

// but makes a pattern that AWS writes with a look-ahead or look-behind, which Go
// has not: text is how AWS writes it, expression what remains without it.
func but(text, expression string, refused func(string) bool) *pattern {
	rest := regexp.MustCompile("^(?:" + expression + ")$")
	return &pattern{text, func(s string) bool { return rest.MatchString(s) && !refused(s) }}
}

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// Parts of patterns.
const (
	region     = `(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}`
	layer      = `arn:(aws[a-zA-Z-]*)?:lambda:` + region + `:\d{12}:layer:[a-zA-Z0-9-_]+`
	layerEntry = `(` + layer + `:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)`
)

// Patterns of AWS's model (botocore, lambda 2015-03-31) that are used by name.
var (
	namePattern     = whole(`(arn:(aws[a-zA-Z-]*)?:lambda:)?(` + region + `:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`)
	variablePattern = whole(`[a-zA-Z]([a-zA-Z0-9_])+`)
	arnPattern      = whole(`arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:(` + region + `)?:(\d{12})?:(.*)`)
)

// constraints are those of AWS's model (botocore, lambda 2015-03-31), by its
// names of shapes. Timeout and MemorySize are those of ordinary functions.
var constraints = map[string]constraint{
	"AllowMethodsList":           {max: 6, elem: &constraint{max: 6}},
	"AllowOriginsList":           {max: 100, elem: &constraint{min: 1, max: 253}},
	"Alias":                      {min: 1, max: 128, pattern: but(`(?!^[0-9]+$)([a-zA-Z0-9-_]+)`, `[a-zA-Z0-9-_]+`, allDigits)},
	"Action":                     {max: 10000, pattern: whole(`(lambda:[*]|lambda:[a-zA-Z]+|[*])`)},
	"AdditionalVersionWeights":   {key: &constraint{min: 1, max: 1024, pattern: whole(`[0-9]+`)}, value: &constraint{min: 0, max: 1}},
	"ApplicationLogLevel":        {enum: []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}},
	"ArchitecturesList":          {min: 1, max: 1, elem: &constraint{enum: architectureNames}},
	"Arn":                        {max: 10000, pattern: arnPattern},
	"CodeSigningConfigArn":       {max: 200, pattern: whole(`arn:(aws[a-zA-Z-]*)?:lambda:` + region + `:\d{12}:code-signing-config:csc-[a-z0-9]{17}`)},
	"CodeSigningPolicy":          {enum: []string{"Warn", "Enforce"}},
	"Description":                {max: 256},
	"DestinationArn":             {max: 350, pattern: whole(`$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|` + arnPattern.text)},
	"EphemeralStorageSize":       {min: 512, max: 10240},
	"EventSourceToken":           {max: 256, pattern: whole(`[a-zA-Z0-9._\-]+`)},
	"FunctionName":               {min: 1, max: maxFunctionName, pattern: namePattern},
	"FunctionUrlAuthType":        {enum: []string{"NONE", "AWS_IAM"}},
	"FunctionUrlFunctionName":    {min: 1, max: maxFunctionName, pattern: namePattern},
	"FunctionUrlQualifier":       {min: 1, max: 128, pattern: but(`((?!^\d+$)^[0-9a-zA-Z-_]+$)`, `[0-9a-zA-Z-_]+`, allDigits)},
	"FunctionVersion":            {enum: []string{"ALL"}},
	"Handler":                    {max: 128, pattern: whole(`[^\s]+`)},
	"HeadersList":                {max: 100, elem: &constraint{max: 1024}},
	"InvokeMode":                 {enum: []string{"BUFFERED", "RESPONSE_STREAM"}},
	"LogFormat":                  {enum: []string{"JSON", "Text"}},
	"LogGroup":                   {min: 1, max: 512, pattern: whole(`[\.\-_/#A-Za-z0-9]+`)},
	"MaxAge":                     {max: 86400},
	"MaxConfigItems":             {min: 1, max: 50}, // MaxFunctionEventInvokeConfigListItems and others
	"MaximumEventAgeInSeconds":   {min: 60, max: 21600},
	"MaximumRetryAttempts":       {max: 2},
	"MaxListItems":               {min: 1, max: 10000},
	"MemorySize":                 {min: 128, max: 10240},
	"NamespacedFunctionName":     {min: 1, max: maxNamespacedName, pattern: whole(`(arn:(aws[a-zA-Z-]*)?:lambda:` + region + `:\d{12}:|((` + region + `:)?(\d{12}:)?))(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?`)},
	"NamespacedStatementId":      {min: 1, max: 100, pattern: whole(`([a-zA-Z0-9-_.]+)`)},
	"PackageType":                {enum: []string{"Zip", "Image"}},
	"PolicyResourceArn":          {max: maxNamespacedName, pattern: whole(`arn:(aws[a-zA-Z-]*):lambda:` + region + `:\d{12}:function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?`)},
	"Principal":                  {max: 2048, pattern: whole(`[^\s]+`)},
	"PrincipalOrgID":             {min: 12, max: 34, pattern: whole(`o-[a-z0-9]{10,32}`)},
	"Qualifier":                  {min: 1, max: 128, pattern: whole(`\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`)},
	"RecursiveLoop":              {enum: []string{"Terminate", "Allow"}},
	"ReservedConcurrency":        {min: 0, max: unbounded},
	"RoleArn":                    {max: 10000, pattern: whole(`arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`)},
	"Runtime":                    {max: maxEcho}, // its values are the runtimes' business
	"RuntimeVersionArn":          {min: 26, max: 2048, pattern: whole(`arn:(aws[a-zA-Z-]*):lambda:` + region + `::runtime:.+`)},
	"SigningProfileVersionArns":  {min: 1, max: 20, elem: &constraint{max: 10000, pattern: arnPattern}},
	"SnapStartApplyOn":           {enum: []string{"PublishedVersions", "None"}},
	"SourceOwner":                {max: 12, pattern: whole(`\d{12}`)},
	"StatementId":                {min: 1, max: 100, pattern: whole(`([a-zA-Z0-9-_]+)`)},
	"SystemLogLevel":             {enum: []string{"DEBUG", "INFO", "WARN"}},
	"TaggableResource":           {min: 1, max: maxNamespacedName, pattern: whole(`arn:(aws[a-zA-Z-]*):lambda:` + region + `:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)`)},
	"TenantIsolationMode":        {enum: []string{"PER_TENANT"}},
	"Timeout":                    {min: 1, max: 900},
	"TracingMode":                {enum: []string{"Active", "PassThrough"}},
	"UnqualifiedFunctionName":    {min: 1, max: maxFunctionName, pattern: whole(`(arn:(aws[a-zA-Z-]*)?:lambda:)?(` + region + `:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)`)},
	"UpdateRuntimeOn":            {enum: []string{"Auto", "Manual", "FunctionUpdate"}},
	"VersionWithLatestPublished": {min: 1, max: 1024, pattern: whole(`(\$LATEST(\.PUBLISHED)?|[0-9]+)`)},
}

var architectureNames = []string{"x86_64", "arm64"}
