package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/alcove-run/alcove"
)

// recordSchema is the schema of the records that this program writes. It reads
// no others.
const recordSchema = 1

// record is what one function's key holds. A record that is in the view is never
// changed; whoever changes one works on a copy.
type record struct {
	Schema   int             `json:"schema"`
	Function alcove.Function `json:"function"`
	// Latest is $LATEST as clients see it, an update under way included.
	Latest alcove.Version `json:"latest"`
	// Running is what invocations of $LATEST run if that is not Latest: what it
	// was before an update that is under way or failed.
	Running *alcove.Version `json:"running,omitempty"`
	// Generation is the highest generation given so far.
	Generation int64 `json:"generation"`
	// Published is the version that was published last, and the description that
	// $LATEST had then: the version may have been given another.
	Published struct {
		Number      string `json:"number,omitempty"`
		Description string `json:"description,omitempty"`
	} `json:"published"`

	// Aliases are the function's, by name.
	Aliases map[string]alcove.Alias `json:"aliases,omitempty"`
	// Qualified is what belongs to $LATEST, to versions and to aliases, by those.
	Qualified map[string]qualified `json:"qualified,omitempty"`

	// publishedNow is the version that the edit under way has published.
	publishedNow *alcove.Version
}

// Texts of the states, as AWS answers them (recorded life cycle of a function).
const (
	creatingReason = "The function is being created."
	creatingCode   = "Creating"
)

func newRevision() string { return uuid.NewString() }

const (
	functionPrefix = "function/"
	versionPrefix  = "version/"
)

func functionKey(name string) string { return functionPrefix + name }

func versionKey(id, number string) string { return versionPrefix + id + "/" + number }

// splitVersionKey is the inverse of versionKey.
func splitVersionKey(key string) (id string, number int, ok bool) {
	// A function's name may be a number, too.
	rest, versions := strings.CutPrefix(key, versionPrefix)
	id, text, found := strings.Cut(rest, "/")
	n, err := strconv.Atoi(text)
	return id, n, versions && found && err == nil && n > 0 && strconv.Itoa(n) == text
}

func decodeRecord(b []byte, name string) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	switch {
	case r.Schema != recordSchema:
		return nil, fmt.Errorf("record has schema %d, this program knows %d", r.Schema, recordSchema)
	case r.Function.ID == "" || r.Function.Name != name || r.Latest.FunctionID != r.Function.ID:
		return nil, errors.New("record contradicts its key")
	}
	return r, nil
}

// pending says whether $LATEST waits for Prepare.
func (r *record) pending() bool {
	return r.Latest.State == alcove.StatePending || r.Latest.Update == alcove.UpdateInProgress
}

// begin makes $LATEST another version, by change, and its update one that is in
// progress. It gives AWS's error if that cannot be now.
func (r *record) begin(c *Catalog, change func(v *alcove.Version) error) error {
	if err := r.free(); err != nil {
		return err
	}
	before := r.Latest
	next := before
	next.Config = cloneConfig(before.Config)
	if err := change(&next); err != nil {
		return err
	}
	if err := c.fits(&next); err != nil {
		return err
	}
	next.RevisionID, next.LastModified = newRevision(), c.cfg.Now()
	next.Update, next.UpdateReason, next.UpdateReasonCode = alcove.UpdateInProgress, creatingReason, creatingCode
	if before.State == alcove.StateFailed {
		next.State, next.StateReason, next.StateReasonCode = alcove.StatePending, creatingReason, creatingCode
	}
	if !runsAlike(&before, &next) {
		r.Generation++
		next.Generation = r.Generation
	}
	// After an update that failed, what ran before it goes on running.
	if r.Running == nil && before.State == alcove.StateActive {
		r.Running = &before
	}
	r.Latest = next
	return nil
}

// free gives the error for changes that have to wait.
func (r *record) free() error {
	switch {
	case r.Latest.State == alcove.StatePending:
		return inState(r.Latest.State)
	case r.Latest.Update == alcove.UpdateInProgress:
		return alcove.ClientError(alcove.CodeResourceConflict,
			"The operation cannot be performed at this time. An update is in progress for resource: %s", r.Latest.ARN)
	}
	return nil
}

func inState(s alcove.State) error {
	return alcove.ClientError(alcove.CodeResourceConflict,
		"The operation cannot be performed at this time. The function is currently in the following state: %s", s)
}

// checkRevision compares the revision that a client sent, if it sent one.
func (r *record) checkRevision(sent string) error {
	if sent != "" && sent != r.Latest.RevisionID {
		return errRevision()
	}
	return nil
}

func errRevision() error {
	return alcove.ClientError(alcove.CodePreconditionFailed,
		"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
}

// runsAlike says whether environments of one serve for the other: nothing that a
// function can see differs.
func runsAlike(a, b *alcove.Version) bool {
	x, y := a.Config, b.Config
	x.Description, y.Description = "", ""
	x.DeadLetter, y.DeadLetter = "", ""
	return a.Code == b.Code && reflect.DeepEqual(x, y)
}

func cloneConfig(c alcove.Config) alcove.Config {
	c.Environment = maps.Clone(c.Environment)
	c.Layers = slices.Clone(c.Layers)
	return c
}
