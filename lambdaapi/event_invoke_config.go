package lambdaapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/catalog"
)

// destinationShape is one of AWS's OnSuccess and OnFailure.
type destinationShape struct {
	Destination *string `json:",omitempty" is:"DestinationArn"`
}

type destinationConfigShape struct {
	OnSuccess *destinationShape
	OnFailure *destinationShape
}

type eventInvokeInput struct {
	qualifiedInput
	MaximumRetryAttempts     *int `is:"MaximumRetryAttempts"`
	MaximumEventAgeInSeconds *int `is:"MaximumEventAgeInSeconds"`
	DestinationConfig        *destinationConfigShape
}

// eventInvokeOutput is AWS's FunctionEventInvokeConfig. Destinations are there
// even if there are none (recorded from the service).
type eventInvokeOutput struct {
	LastModified             epoch
	FunctionArn              string
	MaximumRetryAttempts     *int `json:",omitempty"`
	MaximumEventAgeInSeconds *int `json:",omitempty"`
	DestinationConfig        destinationConfigShape
}

func describeEventInvoke(e catalog.EventInvokeEntry) *eventInvokeOutput {
	shape := func(arn string) *destinationShape {
		if arn == "" {
			return &destinationShape{}
		}
		return &destinationShape{&arn}
	}
	return &eventInvokeOutput{LastModified: epoch{e.Config.LastModified}, FunctionArn: e.ARN, MaximumRetryAttempts: e.Config.MaximumRetryAttempts,
		MaximumEventAgeInSeconds: e.Config.MaximumEventAge,
		DestinationConfig:        destinationConfigShape{shape(e.Config.OnSuccess), shape(e.Config.OnFailure)}}
}

// epoch is a time in seconds, as a few of AWS's members have it.
type epoch struct{ time.Time }

// MarshalJSON implements [json.Marshaler].
func (e epoch) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(e.UnixMilli())/1000, 'f', 3, 64), nil
}

func putEventInvoke(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *eventInvokeInput) (reply, error) {
	return a.setEventInvoke(ctx, caller, in, func(ref alcove.Ref, _ *alcove.EventInvokeConfig) (alcove.EventInvokeConfig, error) {
		return alcove.EventInvokeConfig{}, nil
	})
}

func updateEventInvoke(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *eventInvokeInput) (reply, error) {
	return a.setEventInvoke(ctx, caller, in, func(ref alcove.Ref, now *alcove.EventInvokeConfig) (alcove.EventInvokeConfig, error) {
		if now == nil {
			_, err := a.Catalog.EventInvoke(ref) // says which one is missing
			return alcove.EventInvokeConfig{}, err
		}
		return *now, nil
	})
}

// setEventInvoke writes the members that are given over what from makes of the
// config that there is.
func (a *API) setEventInvoke(ctx context.Context, caller alcove.Caller, in *eventInvokeInput,
	from func(ref alcove.Ref, now *alcove.EventInvokeConfig) (alcove.EventInvokeConfig, error)) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	if in.MaximumEventAgeInSeconds == nil && in.MaximumRetryAttempts == nil && in.DestinationConfig == nil {
		return reply{}, alcove.InvalidParameter("You must specify at least one of error handling or destination setting.")
	}
	made, err := a.Catalog.SetEventInvoke(ctx, caller, ref, func(now *alcove.EventInvokeConfig) (*alcove.EventInvokeConfig, error) {
		next, err := from(ref, now)
		if err != nil {
			return nil, err
		}
		if err := a.checkDestinations(ref, in.DestinationConfig); err != nil {
			return nil, err
		}
		if in.MaximumRetryAttempts != nil {
			next.MaximumRetryAttempts = in.MaximumRetryAttempts
		}
		if in.MaximumEventAgeInSeconds != nil {
			next.MaximumEventAge = in.MaximumEventAgeInSeconds
		}
		if d := in.DestinationConfig; d != nil {
			next.OnSuccess, next.OnFailure = d.OnSuccess.arn(), d.OnFailure.arn()
		}
		return &next, nil
	})
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: describeEventInvoke(made)}, nil
}

func (d *destinationShape) arn() string {
	if d == nil || d.Destination == nil {
		return ""
	}
	return *d.Destination
}

// checkDestinations refuses services that take no results, functions that are
// not there, and the function itself (texts recorded from the service).
func (a *API) checkDestinations(ref alcove.Ref, d *destinationConfigShape) error {
	if d == nil {
		return nil
	}
	for _, arn := range []string{d.OnSuccess.arn(), d.OnFailure.arn()} {
		if arn == "" {
			continue
		}
		switch service := serviceOf(arn); {
		case service == "lambda":
			to, err := a.Place.ParseRef(arn, "")
			if err == nil && to.Name == ref.Name {
				return alcove.InvalidParameter("You can't specify the function as a destination for itself.")
			}
			if err == nil {
				_, err = a.Catalog.Describe(to)
			}
			if err != nil {
				return alcove.InvalidParameter("The destination ARN %s is invalid.", arn)
			}
		case service == "sqs", service == "sns", service == "events", service == "s3" && arn != d.OnSuccess.arn():
			if err := a.reaches(arn); err != nil {
				return err
			}
		default:
			return alcove.InvalidParameter("The provided destination config DestinationConfig(onSuccess=%s, onFailure=%s) is invalid.",
				d.OnSuccess.words("OnSuccess"), d.OnFailure.words("OnFailure"))
		}
	}
	return nil
}

func (d *destinationShape) words(name string) string {
	if d == nil {
		return "null"
	}
	if d.Destination == nil {
		return name + "(destination=null)"
	}
	return name + "(destination=" + *d.Destination + ")"
}

func getEventInvoke(a *API, _ context.Context, _ alcove.Caller, _ *call, in *qualifiedInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	e, err := a.Catalog.EventInvoke(ref)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: describeEventInvoke(e)}, nil
}

func deleteEventInvoke(a *API, ctx context.Context, caller alcove.Caller, _ *call, in *qualifiedInput) (reply, error) {
	ref, err := in.ref(a)
	if err != nil {
		return reply{}, err
	}
	return done(a.Catalog.DeleteEventInvoke(ctx, caller, ref))
}

// listConfigsInput asks for what belongs to the qualifiers of a function.
type listConfigsInput struct {
	FunctionName *string `from:"path" is:"NamespacedFunctionName"`
	Marker       *string `from:"query"`
	MaxItems     *int    `from:"query" is:"MaxConfigItems"`
}

// page reads the function and the page.
func (in *listConfigsInput) page(a *API) (function, marker string, max int, err error) {
	ref, err := a.ref(*in.FunctionName, "", maxNamespacedName)
	list := listInput{in.Marker, in.MaxItems}
	return ref.Name, list.marker(), list.max(), err
}

type listEventInvokesOutput struct {
	FunctionEventInvokeConfigs []*eventInvokeOutput
	NextMarker                 string `json:",omitempty"`
}

func listEventInvokes(a *API, _ context.Context, _ alcove.Caller, _ *call, in *listConfigsInput) (reply, error) {
	function, marker, max, err := in.page(a)
	if err != nil {
		return reply{}, err
	}
	list, next, err := a.Catalog.EventInvokes(function, marker, max)
	if err != nil {
		return reply{}, err
	}
	out := listEventInvokesOutput{FunctionEventInvokeConfigs: each(list, describeEventInvoke), NextMarker: next}
	return reply{status: http.StatusOK, body: out}, nil
}
