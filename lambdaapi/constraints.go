package lambdaapi

import (
	"math"
	"strings"

	"github.com/alcove-run/alcove/internal/lazyregexp"
)

// constraint is what the values of a shape of AWS's model satisfy. A zero member
// is no constraint.
type constraint struct {
	min, max int // of a text's length in characters, of a list's, or of a number
	pattern  *pattern
	enum     []string
	// list and map constrain what lists and maps hold.
	elem *constraint
	// bare is that a list's failure says no more than what its elements have to
	// satisfy: AWS is of two minds.
	bare       bool
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

// whole makes a pattern.
func whole(expression string) *pattern {
	return &pattern{expression, lazyregexp.New("^(?:" + expression + ")$").MatchString}
}

// but makes a pattern that AWS writes with a look-ahead or look-behind, which Go
// has not: text is how AWS writes it, expression what remains without it.
func but(text, expression string, refused func(string) bool) *pattern {
	rest := lazyregexp.New("^(?:" + expression + ")$")
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

// urlNamePattern is for functions and their aliases, not their versions: what may
// follow the name is no number.
func urlNamePattern() *pattern {
	const name = `(arn:(aws[a-zA-Z-]*)?:lambda:)?(` + region + `:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]{1,64})`
	alone, qualified := whole(name), whole(name+`(:([0-9a-zA-Z-_]+))?`)
	return &pattern{name + `(:((?!\d+$)[0-9a-zA-Z-_]+))?`, func(s string) bool {
		return alone.match(s) || qualified.match(s) && !allDigits(s[strings.LastIndexByte(s, ':')+1:])
	}}
}

// constraints are those of AWS's model (botocore, lambda 2015-03-31), by its
// names of shapes. Timeout and MemorySize are those of ordinary functions.
var constraints = map[string]constraint{
	"AllowMethodsList":                {max: 6, elem: &constraint{max: 6}},
	"AllowOriginsList":                {max: 100, elem: &constraint{min: 1, max: 253}},
	"Alias":                           {min: 1, max: 128, pattern: but(`(?!^[0-9]+$)([a-zA-Z0-9-_]+)`, `[a-zA-Z0-9-_]+`, allDigits)},
	"Action":                          {max: 10000, pattern: whole(`(lambda:[*]|lambda:[a-zA-Z]+|[*])`)},
	"AdditionalVersionWeights":        {key: &constraint{min: 1, max: 1024, pattern: whole(`[0-9]+`)}, value: &constraint{min: 0, max: 1}},
	"ApplicationLogLevel":             {enum: []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}},
	"AnyRuntime":                      {enum: anyRuntimes},
	"Architecture":                    {enum: architectureNames},
	"ArchitecturesList":               {min: 1, max: 1, elem: &constraint{enum: architectureNames}},
	"Arn":                             {max: 10000, pattern: arnPattern},
	"CodeSigningConfigArn":            {max: 200, pattern: whole(`arn:(aws[a-zA-Z-]*)?:lambda:` + region + `:\d{12}:code-signing-config:csc-[a-z0-9]{17}`)},
	"CodeSigningPolicy":               {enum: []string{"Warn", "Enforce"}},
	"CompatibleArchitectures":         {max: 2, elem: &constraint{enum: architectureNames}},
	"CompatibleRuntimes":              {max: 15, elem: &constraint{enum: layerRuntimes, bare: true}},
	"Description":                     {max: 256},
	"DestinationArn":                  {max: 350, pattern: whole(`$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|` + arnPattern.text)},
	"EphemeralStorageSize":            {min: 512, max: 10240},
	"EventSourceToken":                {max: 256, pattern: whole(`[a-zA-Z0-9._\-]+`)},
	"FunctionName":                    {min: 1, max: maxFunctionName, pattern: namePattern},
	"FunctionUrlAuthType":             {enum: []string{"NONE", "AWS_IAM"}},
	"FunctionUrlFunctionName":         {min: 1, max: maxFunctionName, pattern: urlNamePattern()},
	"FunctionUrlQualifier":            {min: 1, max: 128, pattern: but(`((?!^\d+$)^[0-9a-zA-Z-_]+$)`, `[0-9a-zA-Z-_]+`, allDigits)},
	"FunctionVersion":                 {enum: []string{"ALL"}},
	"Handler":                         {max: 128, pattern: whole(`[^\s]+`)},
	"HeadersList":                     {max: 100, elem: &constraint{max: 1024}},
	"InvokeMode":                      {enum: []string{"BUFFERED", "RESPONSE_STREAM"}},
	"KMSKeyArn":                       {max: 10000, pattern: whole(`(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()`)},
	"LayerList":                       {elem: &constraint{min: 1, max: 2048, pattern: whole(layerEntry)}},
	"LayerName":                       {min: 1, max: 140, pattern: whole(`(` + layer + `)|[a-zA-Z0-9-_]+`)},
	"LayerPermissionAllowedAction":    {max: 22, pattern: whole(`lambda:GetLayerVersion`)},
	"LayerPermissionAllowedPrincipal": {max: 10000, pattern: whole(`\d{12}|\*|arn:(aws[a-zA-Z-]*):iam::\d{12}:root`)},
	"LayerVersionArn":                 {min: 1, max: 2048, pattern: whole(layerEntry)},
	"LicenseInfo":                     {max: 512},
	"LogFormat":                       {enum: []string{"JSON", "Text"}},
	"LogGroup":                        {min: 1, max: 512, pattern: whole(`[\.\-_/#A-Za-z0-9]+`)},
	"MaxAge":                          {max: 86400},
	"MaxConfigItems":                  {min: 1, max: 50}, // MaxFunctionEventInvokeConfigListItems and others
	"MaximumEventAgeInSeconds":        {min: 60, max: 21600},
	"MaximumRetryAttempts":            {max: 2},
	"MaxListItems":                    {min: 1, max: 10000},
	"MemorySize":                      {min: 128, max: 10240},
	"NamespacedFunctionName":          {min: 1, max: maxNamespacedName, pattern: whole(`(arn:(aws[a-zA-Z-]*)?:lambda:` + region + `:\d{12}:|((` + region + `:)?(\d{12}:)?))(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?`)},
	"NamespacedStatementId":           {min: 1, max: 100, pattern: whole(`([a-zA-Z0-9-_.]+)`)},
	"OrganizationId":                  {max: 34, pattern: whole(`o-[a-z0-9]{10,32}`)},
	"PackageType":                     {enum: []string{"Zip", "Image"}},
	"PolicyResourceArn":               {max: maxNamespacedName, pattern: whole(`arn:(aws[a-zA-Z-]*):lambda:` + region + `:\d{12}:function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?`)},
	"PositiveInteger":                 {min: 1, max: unbounded},
	"ProvisionedQualifier":            {min: 1, max: 128, pattern: whole(`(|[a-zA-Z0-9$_-]+)`)},
	"Principal":                       {max: 2048, pattern: whole(`[^\s]+`)},
	"PrincipalOrgID":                  {min: 12, max: 34, pattern: whole(`o-[a-z0-9]{10,32}`)},
	"Qualifier":                       {min: 1, max: 128, pattern: whole(`\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`)},
	"RecursiveLoop":                   {enum: []string{"Terminate", "Allow"}},
	"ReservedConcurrency":             {min: 0, max: unbounded},
	"ResourceArn":                     {max: 10000, pattern: whole(`(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()`)},
	"RoleArn":                         {max: 10000, pattern: whole(`arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`)},
	"Runtime":                         {max: maxEcho}, // its values are the runtimes' business
	"RuntimeVersionArn":               {min: 26, max: 2048, pattern: whole(`arn:(aws[a-zA-Z-]*):lambda:` + region + `::runtime:.+`)},
	"S3Bucket":                        {min: 3, max: 63, pattern: but(`[0-9A-Za-z\.\-_]*(?<!\.)`, `[0-9A-Za-z\.\-_]*`, func(s string) bool { return strings.HasSuffix(s, ".") })},
	"S3Key":                           {min: 1, max: 1024, pattern: whole(`.*`)},
	"S3ObjectStorageMode":             {enum: []string{"COPY", "REFERENCE"}},
	"S3ObjectVersion":                 {min: 1, max: 1024, pattern: whole(`.*`)},
	"SecurityGroupIds":                {max: 5},
	"SigningProfileVersionArns":       {min: 1, max: 20, elem: &constraint{max: 10000, pattern: arnPattern}},
	"SnapStartApplyOn":                {enum: []string{"PublishedVersions", "None"}},
	"SourceOwner":                     {max: 12, pattern: whole(`\d{12}`)},
	"StatementId":                     {min: 1, max: 100, pattern: whole(`([a-zA-Z0-9-_]+)`)},
	"StringList":                      {max: 1500},
	"SubnetIds":                       {max: 16},
	"SystemLogLevel":                  {enum: []string{"DEBUG", "INFO", "WARN"}},
	"TaggableResource":                {min: 1, max: maxNamespacedName, pattern: whole(`arn:(aws[a-zA-Z-]*):lambda:` + region + `:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)`)},
	"TenantIsolationMode":             {enum: []string{"PER_TENANT"}},
	"Timeout":                         {min: 1, max: 900},
	"TracingMode":                     {enum: []string{"Active", "PassThrough"}},
	"UnqualifiedFunctionName":         {min: 1, max: maxFunctionName, pattern: whole(`(arn:(aws[a-zA-Z-]*)?:lambda:)?(` + region + `:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)`)},
	"UpdateRuntimeOn":                 {enum: []string{"Auto", "Manual", "FunctionUpdate"}},
	"WorkingDirectory":                {max: 1000},
	"VersionWithLatestPublished":      {min: 1, max: 1024, pattern: whole(`(\$LATEST(\.PUBLISHED)?|[0-9]+)`)},
}

// Runtimes as AWS's messages list them, in their order (recorded from the
// service): those that layers may be compatible with, and those that layers may
// be looked for by.
var (
	layerRuntimes = strings.Fields(`nodejs20.x python3.14 provided.al2023 python3.12 python3.13 nodejs24.x nodejs22.x java25 python3.10 python3.11 java21 ruby3.3 ruby3.4 ruby3.2 python3.8 python3.9 java17 nodejs16.x dotnet10 dotnet8 java11 dotnet6 nodejs18.x provided.al2 java8.al2`)
	anyRuntimes   = strings.Fields(`ruby3.5 ruby2.6 dotnetcore1.0 python3.7 nodejs8.10 nasa ruby2.7 python2.7-greengrass dotnetcore2.0 python3.8 java21 dotnet6 dotnetcore2.1 python3.9 java11 nodejs6.10 provided dotnetcore3.1 dotnet8 java25 java17 nodejs nodejs4.3 java8.al2 go1.x dotnet10 nodejs20.x go1.9 byol nodejs10.x provided.al2023 nodejs22.x python3.10 java8 nodejs12.x python3.11 nodejs24.x nodejs8.x python3.12 nodejs14.x nodejs8.9 nodejs26.x python3.13 python3.14 nodejs16.x python3.15 provided.al2 nodejs4.3-edge nodejs18.x ruby3.2 python3.4 ruby3.3 ruby3.4 ruby2.5 python3.6 python2.7`)
)

var architectureNames = []string{"x86_64", "arm64"}
