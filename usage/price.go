package usage

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"regexp"
	"strings"

	"github.com/alcove-run/alcove"
)

// Price is an exact decimal number that is not negative. In JSON it is a text or
// a number; either is taken digit by digit, never as a floating-point number.
type Price struct{ rat *big.Rat }

// decimal is how a price is written. Its length is bounded, so that no file makes
// sums grow without end.
var decimal = regexp.MustCompile(`^[0-9]{1,12}(\.[0-9]{1,18})?$`)

// UnmarshalJSON implements json.Unmarshaler.
func (p *Price) UnmarshalJSON(b []byte) error {
	text := strings.TrimSuffix(strings.TrimPrefix(string(b), `"`), `"`)
	if !decimal.MatchString(text) {
		return fmt.Errorf("%s is no price: give digits, with at most 18 behind the point", b)
	}
	p.rat, _ = new(big.Rat).SetString(text)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (p Price) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// String gives the price as it is, without zeros at its end.
func (p Price) String() string {
	if p.rat == nil {
		return "0"
	}
	return trimZeros(p.rat.FloatString(18))
}

// ByArchitecture is a price for each instruction set.
type ByArchitecture struct {
	X86 Price `json:"x86_64"`
	ARM Price `json:"arm64"`
}

func (b ByArchitecture) of(architecture string) Price {
	if architecture == "arm64" {
		return b.ARM
	}
	return b.X86
}

// Prices is what use costs. A GB of memory and of /tmp is 1,024 MB, as AWS counts
// it; a GB of bytes is 2^30.
type Prices struct {
	Currency           string         `json:"currency"`
	RequestsPerMillion Price          `json:"requestsPerMillion"`
	GBSecond           ByArchitecture `json:"gbSecond"` // of memory, while an invocation runs
	// EphemeralGBSecond is for what of /tmp is beyond 512 MB.
	EphemeralGBSecond Price `json:"ephemeralGBSecond"`
	// EnvironmentGB is for each environment that a tenant is given, by its memory.
	EnvironmentGB ByArchitecture `json:"environmentGB"`
	LogGB         Price          `json:"logGB"`
	QueueGB       Price          `json:"queueGB"`
	NetworkInGB   Price          `json:"networkInGB"`
	NetworkOutGB  Price          `json:"networkOutGB"`
}

//go:embed prices.json
var listPrices []byte

// ListPrices are AWS's of us-east-1. AWS shows no price of arm64 for a tenant's
// environment; it is 0.8 times that of x86_64 here, as its price of duration is.
// Logs, queues and network are free, because their price is not Lambda's.
func ListPrices() Prices {
	p, err := parsePrices(bytes.NewReader(listPrices))
	if err != nil { // a constant
		panic(err)
	}
	return p
}

// ReadPrices reads a file of prices: a JSON object as prices.json in this
// directory, all of whose members have to be there.
func ReadPrices(path string) (Prices, error) {
	f, err := os.Open(path)
	if err != nil {
		return Prices{}, err
	}
	defer f.Close()
	p, err := parsePrices(f)
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func parsePrices(r io.Reader) (p Prices, err error) {
	b, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return p, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, err
	}
	if _, err := d.Token(); err != io.EOF {
		return p, errors.New("there is something behind the prices")
	}
	if p.Currency == "" {
		return p, errors.New(`"currency" is missing`)
	}
	for name, price := range map[string]Price{
		"requestsPerMillion": p.RequestsPerMillion, "gbSecond.x86_64": p.GBSecond.X86, "gbSecond.arm64": p.GBSecond.ARM,
		"ephemeralGBSecond": p.EphemeralGBSecond, "environmentGB.x86_64": p.EnvironmentGB.X86, "environmentGB.arm64": p.EnvironmentGB.ARM,
		"logGB": p.LogGB, "queueGB": p.QueueGB, "networkInGB": p.NetworkInGB, "networkOutGB": p.NetworkOutGB,
	} {
		if price.rat == nil {
			return p, fmt.Errorf("%q is missing: a price of nothing is \"0\"", name)
		}
	}
	return p, nil
}

// Amount is an exact amount of money, or of anything else that is summed.
type Amount struct{ rat big.Rat }

func (a *Amount) add(b *Amount) { a.rat.Add(&a.rat, &b.rat) }

// addPriced adds n/per times price.
func (a *Amount) addPriced(n, per int64, price Price) {
	if n == 0 {
		return
	}
	x := new(big.Rat).SetFrac64(n, per)
	a.rat.Add(&a.rat, x.Mul(x, price.rat))
}

// amountDigits are how many digits an amount is shown with behind its point: all
// that GB-seconds can have.
// Sums are made before anything is rounded.
const amountDigits = 13

// String gives the amount as a decimal number of at most 13 digits behind the
// point, rounded half away from zero.
func (a *Amount) String() string { return trimZeros(a.rat.FloatString(amountDigits)) }

// MarshalJSON implements json.Marshaler: a text, because readers of JSON take
// numbers for floating-point ones.
func (a *Amount) MarshalJSON() ([]byte, error) { return json.Marshal(a.String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (a *Amount) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	if !decimal.MatchString(text) {
		return fmt.Errorf("%q is no amount", text)
	}
	a.rat.SetString(text)
	return nil
}

func oneRat() *big.Rat { return big.NewRat(1, 1) }

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

const (
	gbMillis = 1024 * 1000 // MB and milliseconds in a GB-second
	gib      = 1 << 30
)

// cost is what sums of one architecture cost.
func (p Prices) cost(s *Sums, architecture string) *Amount {
	a := new(Amount)
	a.addPriced(s.Invocations, 1_000_000, p.RequestsPerMillion)
	a.addPriced(s.MemoryMillis, gbMillis, p.GBSecond.of(architecture))
	a.addPriced(s.EphemeralMillis, gbMillis, p.EphemeralGBSecond)
	a.addPriced(s.EnvironmentMemory, 1024, p.EnvironmentGB.of(architecture))
	a.addPriced(s.LogBytes, gib, p.LogGB)
	a.addPriced(s.QueueBytes, gib, p.QueueGB)
	a.addPriced(s.NetworkIn, gib, p.NetworkInGB)
	a.addPriced(s.NetworkOut, gib, p.NetworkOutGB)
	return a
}

// Sums is how much was used. MB are of 1,024 KB; members whose names end in Millis
// are MB times milliseconds.
type Sums struct {
	Invocations int64 `json:"invocations"` // all that ran, errors included
	Errors      int64 `json:"errors"`      // of those: the function failed or timed out
	Timeouts    int64 `json:"timeouts"`    // of those
	// Failures are invocations that the platform failed: they are free, and not
	// among Invocations.
	Failures        int64 `json:"failures"`
	BilledMillis    int64 `json:"billedMilliseconds"`
	MemoryMillis    int64 `json:"memoryMBMilliseconds"`
	EphemeralMillis int64 `json:"ephemeralMBMilliseconds"` // of /tmp beyond 512 MB
	// Environments counts those that were bound to a tenant, and EnvironmentMemory
	// the MB of them.
	Environments      int64 `json:"environments"`
	EnvironmentMemory int64 `json:"environmentMB"`
	BytesIn           int64 `json:"bytesIn"`
	BytesOut          int64 `json:"bytesOut"`
	LogBytes          int64 `json:"logBytes"`
	QueueBytes        int64 `json:"queueBytes"`
	NetworkIn         int64 `json:"networkIn"`
	NetworkOut        int64 `json:"networkOut"`
	Connections       int64 `json:"connections"` // that were made to the outside
}

// columns are the sums in the order of the table's columns.
func (s *Sums) columns() []*int64 {
	return []*int64{&s.Invocations, &s.Errors, &s.Timeouts, &s.Failures, &s.BilledMillis, &s.MemoryMillis, &s.EphemeralMillis,
		&s.Environments, &s.EnvironmentMemory, &s.BytesIn, &s.BytesOut, &s.LogBytes, &s.QueueBytes, &s.NetworkIn, &s.NetworkOut, &s.Connections}
}

// Add adds t to s.
func (s *Sums) Add(t *Sums) {
	to := s.columns()
	for i, n := range t.columns() {
		*to[i] += *n
	}
}

// sumsOf is what one report counts for.
func sumsOf(r *alcove.Report) (s Sums) {
	// What went through the wires and to the disk did so however it ended.
	s.LogBytes, s.QueueBytes, s.NetworkIn, s.NetworkOut, s.Connections = r.LogBytes, r.QueueBytes, r.NetworkIn, r.NetworkOut, r.Connections
	if r.Status == alcove.StatusFailure {
		s.Failures = 1
		return s
	}
	s.Invocations = 1
	if r.Status != alcove.StatusSuccess {
		s.Errors = 1
	}
	if r.Status == alcove.StatusTimeout {
		s.Timeouts = 1
	}
	s.BytesIn, s.BytesOut = int64(r.BytesIn), int64(r.BytesOut)
	s.BilledMillis = r.Billed.Milliseconds()
	s.MemoryMillis = s.BilledMillis * int64(r.MemorySize)
	s.EphemeralMillis = s.BilledMillis * int64(max(r.Ephemeral-alcove.DefaultEphemeral, 0))
	if r.Bound {
		s.Environments, s.EnvironmentMemory = 1, int64(r.MemorySize)
	}
	return s
}
