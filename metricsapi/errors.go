package metricsapi

import (
	"strings"

	"github.com/alcove-run/alcove"
)

// Names of CloudWatch's errors, as its model has them.
const (
	codeInvalidValue       = "InvalidParameterValueException"
	codeMissing            = "MissingRequiredParameterException"
	codeCombination        = "InvalidParameterCombinationException"
	codeInvalidToken       = "InvalidNextToken"
	codeLimit              = "LimitExceededFault"
	codeInternal           = "InternalServiceFault"
	codeUnknownOperation   = "UnknownOperationException"
	codeSerialization      = "SerializationException"
	codeTooLarge           = "RequestEntityTooLargeException"
	codeValidation         = "ValidationError"
	messageMissingTemplate = "The parameter %s is required."
)

// queryCode is what an error is called in the Query protocol.
func queryCode(code string) string {
	switch code {
	case codeInvalidValue:
		return "InvalidParameterValue"
	case codeMissing:
		return "MissingParameter"
	case codeCombination:
		return "InvalidParameterCombination"
	case codeLimit:
		return "LimitExceeded"
	case codeInternal:
		return "InternalServiceError"
	case codeUnknownOperation:
		return "InvalidAction"
	}
	return strings.TrimSuffix(code, "Exception")
}

func invalidValue(format string, args ...any) error {
	return alcove.ClientError(codeInvalidValue, format, args...)
}

func missing(parameter string) error {
	return alcove.ClientError(codeMissing, messageMissingTemplate, parameter)
}

func combination(format string, args ...any) error {
	return alcove.ClientError(codeCombination, format, args...)
}

func serialization(text string) error { return alcove.ClientError(codeSerialization, "%s", text) }

func unknownOperation(name string) error {
	return alcove.ClientError(codeUnknownOperation, "Could not find operation %s for version 2010-08-01", name)
}
