package insights

import (
	"strconv"
	"strings"
	"time"
)

// period is the length of a bucket of time.
type period struct {
	millis int64 // of weeks and what is shorter
	months int   // of what is longer
	weeks  bool  // buckets begin on Mondays
}

// unit is a unit of periods. cap is the most of it that AWS takes: what is beyond
// is taken as that much.
type unit struct {
	millis, cap int64
	months      int
}

var units = map[string]unit{
	"ms": {millis: 1, cap: 1000}, "s": {millis: 1000, cap: 60}, "m": {millis: 60_000, cap: 60}, "h": {millis: 3_600_000, cap: 24},
	"d": {millis: 86_400_000}, "w": {millis: 7 * 86_400_000}, "mo": {months: 1}, "q": {months: 3}, "y": {months: 12},
}

// unitNames are the ways to write a unit, each of more than one letter also with an s.
var unitNames = map[string]string{
	"millisecond": "ms", "msec": "ms", "second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "hr": "h", "day": "d",
	"week": "w", "month": "mo", "mon": "mo", "quarter": "q", "qtr": "q", "year": "y", "yr": "y",
}

// maxPeriods bounds how many of a unit a period is.
const maxPeriods = 10_000

func parsePeriod(count, name string) (period, bool) {
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 || n > maxPeriods*1000 {
		return period{}, false
	}
	name = strings.ToLower(name)
	u, ok := units[name]
	if !ok {
		short, known := unitNames[name]
		if !known {
			if short, known = unitNames[strings.TrimSuffix(name, "s")]; !known {
				short = strings.TrimSuffix(name, "s")
				known = len(short) > 1
			}
		}
		if u, ok = units[short]; !ok || !known {
			return period{}, false
		}
	}
	if u.cap > 0 {
		n = min(n, u.cap)
	}
	n = min(n, maxPeriods)
	return period{millis: u.millis * n, months: u.months * int(n), weeks: u.millis == units["w"].millis}, true
}

// monday is the first of 1970, in Unix milliseconds.
const monday = 4 * 86_400_000

// round gives the beginning of the bucket that a time is in, or of the next one if the
// time is not a beginning itself.
func (p period) round(at int64, up bool) int64 {
	if p.months > 0 {
		t := time.UnixMilli(at).UTC()
		month := floor(int64(t.Year())*12+int64(t.Month())-1, int64(p.months))
		begin := time.Date(0, time.Month(month+1), 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		if up && begin < at {
			begin = time.Date(0, time.Month(month+1+int64(p.months)), 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		}
		return begin
	}
	var offset int64
	if p.weeks {
		offset = monday
	}
	begin := floor(at-offset, p.millis) + offset
	if up && begin < at {
		begin += p.millis
	}
	return begin
}

// floor is the greatest multiple of step that is not beyond n.
func floor(n, step int64) int64 {
	m := n % step
	if m < 0 {
		m += step
	}
	return n - m
}
