package logs

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alcove-run/alcove"
)

// naiveCuts takes from whoever holds most, one byte at a time.
func naiveCuts(held map[owner]int64, need int64) map[owner]int64 {
	left := maps.Clone(held)
	out := map[owner]int64{}
	for ; need > 0; need-- {
		var most owner
		for h, n := range left {
			if n > left[most] {
				most = h
			}
		}
		if left[most] == 0 {
			break
		}
		left[most]--
		out[most]++
	}
	return out
}

func TestCutsTakeFromWhoeverHoldsMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		held := map[owner]int64{}
		var sum int64
		for i, n := range rapid.SliceOfN(rapid.Int64Range(0, 60), 0, 8).Draw(t, "held") {
			h := owner{tenant: alcove.Tenant(fmt.Sprint("t", i))}
			if i%3 == 0 {
				h = owner{group: int64(i + 1)}
			}
			held[h] = n
			sum += n
		}
		need := rapid.Int64Range(0, 300).Draw(t, "need")
		got, want := cuts(held, need), naiveCuts(held, need)
		var freed int64
		for h, n := range held {
			if got[h] < 0 || got[h] > n {
				t.Fatalf("%v holds %d and loses %d", h, n, got[h])
			}
			freed += got[h]
			// Which of those that hold the same loses the odd byte is open.
			if d := got[h] - want[h]; d < -1 || d > 1 {
				t.Errorf("%v loses %d, want %d; held %v, need %d", h, got[h], want[h], held, need)
			}
		}
		if freed < min(need, sum) || freed > max(need, 0)+int64(len(held)) {
			t.Errorf("%d bytes go, want %d of %d", freed, need, sum)
		}
	})
}

var noisePool = sync.OnceValue(func() string {
	b := make([]byte, 3<<20)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return base64.StdEncoding.EncodeToString(b)
})

// noise is text that cannot be compressed to less than three fourths.
func noise(n int) string {
	pool := noisePool()
	at := rand.IntN(len(pool) - n)
	return pool[at : at+n]
}

// TestFloodCostsTheFlooder has random tenants write over random days into a
// store that is too small, and checks what is left against what each wrote.
func TestFloodCostsTheFlooder(tt *testing.T) {
	rapid.Check(tt, func(t *rapid.T) {
		const budget = 2 << 20
		clock := base
		var shown atomic.Pointer[time.Time] // clock, for the store's goroutines
		show := func(now time.Time) { clock = now; shown.Store(&now) }
		show(base)
		s, err := Open(Config{Dir: tt.TempDir(), Budget: budget, BatchEvery: time.Microsecond, Now: func() time.Time { return *shown.Load() }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		wrote := map[alcove.Tenant][]string{}
		held := map[alcove.Tenant]int64{}
		tenants := []alcove.Tenant{"", "blue", "green", "red"}
		for range rapid.IntRange(1, 3).Draw(t, "days") {
			for step := range rapid.IntRange(1, 6).Draw(t, "steps") {
				who := rapid.SampledFrom(tenants).Draw(t, "who")
				size := rapid.SampledFrom([]int{10, 1000, 30_000}).Draw(t, "size")
				n := rapid.IntRange(1, 40).Draw(t, "events")
				for i := range n {
					m := fmt.Sprintf("%s %s %d %d %s", clock, who, step, i, noise(size))
					s.Stream("g", "s-"+string(who)).Append(who, clock, []byte(m))
					wrote[who] = append(wrote[who], m)
					held[who] += int64(len(m))
				}
				if err := s.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				show(clock.Add(time.Second))
			}
			show(clock.AddDate(0, 0, 1))
		}
		for _, who := range tenants {
			got := all(tt, s, Query{Group: "g", Tenant: &who})
			want := wrote[who]
			if len(got) > len(want) || strings.Join(got, "\n") != strings.Join(want[len(want)-len(got):], "\n") {
				t.Errorf("%q: what is left is not the newest of what was written (%d of %d)", who, len(got), len(want))
			}
			// A fourth of the budget, less what room is made ahead and what keeping
			// records costs beside their text, is nobody's to take.
			if held[who] < budget/8 && len(got) != len(want) {
				t.Errorf("%q wrote %d bytes and lost %d events of %d to others", who, held[who], len(want)-len(got), len(want))
			}
		}
		if st := s.Stats(); st.Lost+st.Dropped > 0 || st.Bytes > budget+(5<<20) {
			t.Errorf("%+v", st)
		}
	})
}

// Below the reserve the store grows no more, and the flooder pays for it.
func TestReserveStopsGrowth(t *testing.T) {
	free := int64(1 << 30)
	s := openStore(t, Config{Reserve: 1 << 20, free: func(string) (int64, error) { return free, nil }})
	s.Stream("g", "blue").Append("blue", base, []byte("mine"))
	flood := func() int64 {
		for i := range 30 {
			for range 100 {
				s.Stream("g", "red").Append("red", base, []byte(noise(10_000)))
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Fatal(i, err)
			}
		}
		return s.Stats().Bytes
	}
	before := flood()
	free = 1<<20 - 1
	if after := flood(); after > before+checkEvery+(2<<20) {
		t.Errorf("grew from %d to %d bytes with too little room", before, after)
	}
	if got := all(t, s, Query{Group: "g", Tenant: tenant("blue")}); len(got) != 1 {
		t.Errorf("blue is left with %q", got)
	}
}

// A store that has a short disk from its beginning keeps what it may hold all the same:
// the newest of the flooder's, and everything of the others'.
func TestShortDiskLeavesTheLeast(t *testing.T) {
	const least = 24 << 20
	s := openStore(t, Config{Reserve: 1 << 20, Least: least, free: func(string) (int64, error) { return 0, nil }})
	for i := range 60 {
		s.Stream("g", "blue").Append("blue", base, fmt.Appendf(nil, "blue %d", i))
		for range 100 {
			s.Stream("g", "red").Append("red", base, []byte(noise(10_000)))
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Bytes; n < least/2 || n > least+2*checkEvery {
		t.Errorf("holds %d bytes, may %d", n, least)
	}
	if got := all(t, s, Query{Group: "g", Tenant: tenant("blue")}); len(got) != 60 {
		t.Errorf("blue has %d of 60", len(got))
	}
}
