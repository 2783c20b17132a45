package alcove

import "maps"

// Alias is a name for a version of a function, and for a second one that takes a
// share of its invocations if Weights has it.
type Alias struct {
	Name string `json:"name"`
	// Version is the number of the version it stands for, or "$LATEST".
	Version     string `json:"version"`
	Description string `json:"description,omitempty"`
	// Weights are the shares, from 0 to 1, of versions other than Version, which
	// has the rest. There is at most one.
	Weights    map[string]float64 `json:"weights,omitempty"`
	RevisionID string             `json:"revisionId"`
}

// Equal says whether nothing differs.
func (a Alias) Equal(b Alias) bool {
	return a.Name == b.Name && a.Version == b.Version && a.Description == b.Description && a.RevisionID == b.RevisionID && maps.Equal(a.Weights, b.Weights)
}
