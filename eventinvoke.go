package alcove

import "time"

// EventInvokeConfig says what becomes of events that a function is invoked with
// asynchronously. A nil number is Lambda's default.
type EventInvokeConfig struct {
	MaximumRetryAttempts *int `json:"maximumRetryAttempts,omitempty"`
	MaximumEventAge      *int `json:"maximumEventAge,omitempty"` // seconds
	// OnSuccess and OnFailure are ARNs of destinations, or empty.
	OnSuccess    string    `json:"onSuccess,omitempty"`
	OnFailure    string    `json:"onFailure,omitempty"`
	LastModified time.Time `json:"lastModified"`
}

// FunctionURL is the HTTP endpoint of a function or of one of its aliases.
type FunctionURL struct {
	ID           string    `json:"id"`       // the first label of its host name
	AuthType     string    `json:"authType"` // NONE or AWS_IAM
	InvokeMode   string    `json:"invokeMode"`
	Cors         *Cors     `json:"cors,omitempty"`
	Created      time.Time `json:"created"`
	LastModified time.Time `json:"lastModified"`
}

// Cors is the cross-origin part of a [FunctionURL]; its members are Lambda's. Nil
// is one that was not given.
type Cors struct {
	AllowCredentials *bool    `json:",omitempty"`
	AllowHeaders     []string `json:",omitempty"`
	AllowMethods     []string `json:",omitempty"`
	AllowOrigins     []string `json:",omitempty"`
	ExposeHeaders    []string `json:",omitempty"`
	MaxAge           *int     `json:",omitempty"`
}
