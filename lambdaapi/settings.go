package lambdaapi

// Members of requests that CreateFunction and UpdateFunctionConfiguration share,
// by AWS's names. A nil pointer is an absent member.

// settings are the members that both take.
type settings struct {
	Runtime          *string `is:"Runtime"`
	Role             *string `is:"RoleArn"`
	Handler          *string `is:"Handler"`
	Description      *string `is:"Description"`
	Timeout          *int    `is:"Timeout"`
	MemorySize       *int    `is:"MemorySize"`
	Environment      *environmentShape
	TracingConfig    *tracingShape
	EphemeralStorage *storageShape
	LoggingConfig    *loggingShape
	SnapStart        *snapStartShape
	Layers           []string `is:"LayerList"`
	ImageConfig      *imageShape

	DeadLetterConfig *deadLetterShape

	// Those below are refused unless they are empty.
	VpcConfig              *vpcShape
	KMSKeyArn              *string `is:"KMSKeyArn"`
	FileSystemConfigs      []map[string]any
	CapacityProviderConfig map[string]any
	DurableConfig          map[string]any
}

type environmentShape struct{ Variables map[string]string }

type tracingShape struct {
	Mode *string `is:"TracingMode"`
}

type storageShape struct {
	Size *int `is:"EphemeralStorageSize,required"`
}

type loggingShape struct {
	LogFormat           *string `is:"LogFormat"`
	ApplicationLogLevel *string `is:"ApplicationLogLevel"`
	SystemLogLevel      *string `is:"SystemLogLevel"`
	LogGroup            *string `is:"LogGroup"`
}

type snapStartShape struct {
	ApplyOn *string `is:"SnapStartApplyOn"`
}

type vpcShape struct {
	SubnetIds               []string `is:"SubnetIds"`
	SecurityGroupIds        []string `is:"SecurityGroupIds"`
	Ipv6AllowedForDualStack *bool
}

type deadLetterShape struct {
	TargetArn *string `is:"ResourceArn"`
}

type imageShape struct {
	EntryPoint       []string `is:"StringList"`
	Command          []string `is:"StringList"`
	WorkingDirectory *string  `is:"WorkingDirectory"`
}

type tenancyShape struct {
	TenantIsolationMode *string `is:"TenantIsolationMode,required"`
}

// unsupported gives an error for the first member with a value that this
// program cannot honour yet. Empty ones are what tools send that always send
// every member.
func (s *settings) unsupported() error {
	set := func(text *string) bool { return text != nil && *text != "" }
	vpc := s.VpcConfig
	for _, member := range [...]struct {
		name  string
		given bool
	}{
		{"VpcConfig", vpc != nil && len(vpc.SubnetIds)+len(vpc.SecurityGroupIds) > 0},
		{"KMSKeyArn", set(s.KMSKeyArn)},
		{"FileSystemConfigs", len(s.FileSystemConfigs) > 0},
		{"CapacityProviderConfig", len(s.CapacityProviderConfig) > 0},
		{"DurableConfig", len(s.DurableConfig) > 0},
		{"SnapStart", s.SnapStart != nil && set(s.SnapStart.ApplyOn) && *s.SnapStart.ApplyOn != "None"},
	} {
		if member.given {
			return unsupportedMember(member.name)
		}
	}
	return nil
}
