package runtimes

import (
	"slices"
	"strconv"
	"strings"
)

// Family groups runtime names by what runs them.
type Family string

// The families that alcove can run, and Unsupported for the rest of AWS's list.
const (
	Python      Family = "python"
	NodeJS      Family = "nodejs"
	Provided    Family = "provided"
	Unsupported Family = ""
)

// names is AWS's enum Runtime (Lambda API reference, CreateFunction; the SDK for
// Go, service/lambda v1.114.2), newest first in each family.
const names = `
	nodejs26.x nodejs24.x nodejs22.x nodejs20.x nodejs18.x nodejs16.x nodejs14.x nodejs12.x nodejs10.x
	nodejs8.10 nodejs6.10 nodejs4.3 nodejs4.3-edge nodejs
	python3.15 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 python3.7 python3.6 python2.7
	provided.al2023 provided.al2 provided
	java25 java21 java17.al2023 java17 java11.al2023 java11 java8.al2023 java8.al2 java8
	dotnet10 dotnet8 dotnet6 dotnetcore3.1 dotnetcore2.1 dotnetcore2.0 dotnetcore1.0
	ruby4.0 ruby3.4 ruby3.3 ruby3.2 ruby2.7 ruby2.5
	go1.x`

// Names lists every value of AWS's enum Runtime, whether alcove runs it or not.
func Names() []string { return strings.Fields(names) }

// FamilyOf tells which family a name belongs to; Unsupported also for names that
// are not in AWS's list.
func FamilyOf(name string) Family {
	if !slices.Contains(Names(), name) {
		return Unsupported
	}
	switch {
	case strings.HasPrefix(name, "python3."):
		return Python
	case strings.HasPrefix(name, "nodejs") && strings.HasSuffix(name, ".x"):
		return NodeJS
	case strings.HasPrefix(name, "provided"):
		return Provided
	}
	return Unsupported
}

// runnable lists the names that alcove runs if the machine has what they need.
func runnable() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return FamilyOf(name) == Unsupported })
}

// nodeMajor is the N of "nodejsN.x", or 0.
func nodeMajor(name string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(name, "nodejs"), ".x"))
	return n
}
