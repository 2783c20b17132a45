package metrics

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxValue is the greatest value that CloudWatch takes (2^360).
const MaxValue = 0x1p360

// units are those of CloudWatch's model.
func units() []string {
	return []string{"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes",
		"Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count",
		"Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second",
		"Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None"}
}

// IsUnit says whether CloudWatch has a unit.
func IsUnit(s string) bool { return slices.Contains(units(), s) }

// CheckNamespace says what is wrong with a namespace that somebody wants to put
// metrics into.
func CheckNamespace(s string) error {
	if err := CheckName("Namespace", s, 255); err != nil {
		return err
	}
	if strings.HasPrefix(s, ":") {
		return fmt.Errorf("The value %s for parameter Namespace is invalid.", s) //nolint:staticcheck // shown as it is
	}
	if strings.HasPrefix(s, "AWS/") {
		return fmt.Errorf("The value AWS/ for parameter Namespace is invalid.") //nolint:staticcheck // shown as it is
	}
	if s == NodeNamespace {
		return fmt.Errorf("The value %s for parameter Namespace is invalid.", NodeNamespace) //nolint:staticcheck // shown as it is
	}
	return nil
}

// CheckName says what is wrong with the name of something.
func CheckName(parameter, s string, longest int) error {
	if s == "" || len(s) > longest || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("The value for parameter %s has to have 1 to %d characters, and no control characters.", parameter, longest) //nolint:staticcheck // shown as it is
	}
	return nil
}

// CheckDimensions sorts dimensions and says what is wrong with them.
func CheckDimensions(list []Dimension) error {
	if len(list) > maxDimensions {
		return fmt.Errorf("The collection Dimensions must not have a size greater than %d.", maxDimensions) //nolint:staticcheck // shown as it is
	}
	sortDimensions(list)
	for i, d := range list {
		if err := CheckName("Dimensions.member.Name", d.Name, 255); err != nil {
			return err
		}
		if err := CheckName("Dimensions.member.Value", d.Value, 1024); err != nil {
			return err
		}
		if i > 0 && list[i-1].Name == d.Name {
			return fmt.Errorf("The dimension %s is given twice.", d.Name) //nolint:staticcheck // shown as it is
		}
	}
	return nil
}
