package expression

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// input has m1 with all points, m2 with every second, and n1 with none.
func input() Input {
	budget := 100_000
	series := map[string]Series{
		"m1": {ID: "m1", Period: 60, Points: []Point{{0, 1}, {60, 2}, {120, 3}, {180, 4}}},
		"m2": {ID: "m2", Period: 60, Points: []Point{{0, 10}, {120, 0}}},
		"n1": {ID: "n1", Period: 60},
	}
	return Input{From: 0, To: 240, Budget: &budget,
		Query: func(id string) ([]Series, error) {
			if id == "all" {
				return []Series{series["m1"], series["m2"]}, nil
			}
			s, ok := series[id]
			if !ok {
				return nil, errors.New("no " + id)
			}
			return []Series{s}, nil
		},
		Metrics: func() ([]Series, error) { return []Series{series["m1"], series["m2"], series["n1"]}, nil },
	}
}

// show writes series as minute:value, those of several separated by bars.
func show(list []Series) string {
	var all []string
	for _, s := range list {
		var one []string
		for _, p := range s.Points {
			one = append(one, fmt.Sprintf("%d:%g", p.At/60, math.Round(p.Value*1000)/1000))
		}
		all = append(all, strings.Join(one, " "))
	}
	return strings.Join(all, "|")
}

func TestEvaluate(t *testing.T) {
	for text, want := range map[string]string{
		"m1":                                   "0:1 1:2 2:3 3:4",
		"m1 + m2":                              "0:11 2:3",
		"m1*2+1":                               "0:3 1:5 2:7 3:9",
		"10-m1":                                "0:9 1:8 2:7 3:6",
		"-m1^2":                                "0:-1 1:-4 2:-9 3:-16",
		"m1 / m2":                              "0:0.1", // what is divided by zero is left out
		"100*(m1/(m1+m1))":                     "0:50 1:50 2:50 3:50",
		"SUM(METRICS())":                       "0:11 1:2 2:3 3:4",
		"AVG(METRICS(\"m\"))":                  "0:5.5 1:2 2:1.5 3:4",
		"MAX([m1])":                            "error", // no lists of ours
		"MAX(METRICS()) - MIN(METRICS())":      "0:9 1:0 2:3 3:0",
		"METRICS() / 2":                        "0:0.5 1:1 2:1.5 3:2|0:5 2:0|",
		"m1 - METRICS('m2')":                   "0:-9 2:3",
		"METRICS() + METRICS()":                "error",
		"METRICS('x')":                         "error",
		"m1 / SUM(m1)":                         "0:0.1 1:0.2 2:0.3 3:0.4",
		"m1 - AVG(m1) + STDDEV(m1)":            "0:-0.382 1:0.618 2:1.618 3:2.618",
		"FILL(m2, 0)":                          "0:10 1:0 2:0 3:0",
		"FILL(m2, REPEAT)":                     "0:10 1:10 2:0 3:0",
		"FILL(m2, LINEAR)":                     "0:10 1:5 2:0",
		"fill(n1, 7)":                          "0:7 1:7 2:7 3:7",
		"m1 + FILL(METRICS('m2'), 1)":          "0:11 1:3 2:3 3:5",
		"RATE(m1) * PERIOD(m1)":                "1:1 2:1 3:1",
		"DIFF(m2)":                             "2:-10",
		"RUNNING_SUM(m1)":                      "0:1 1:3 2:6 3:10",
		"IF(m1 > 2, m1, 0)":                    "0:0 1:0 2:3 3:4",
		"IF(m1 >= 2 AND m1 != 3, 1)":           "1:1 3:1",
		"m1 < 2 || m1 == 4":                    "0:1 1:0 2:0 3:1",
		"ABS(m1 - 3)":                          "0:2 1:1 2:0 3:1",
		"CEIL(m1/2)+FLOOR(m1/2)":               "0:1 1:2 2:3 3:4",
		"LOG10(m1*10)-LOG(1)":                  "0:1 1:1.301 2:1.477 3:1.602",
		"TIME_SERIES(METRIC_COUNT(METRICS()))": "0:3 1:3 2:3 3:3",
		"all * 2":                              "0:2 1:4 2:6 3:8|0:20 2:0",
		"SUM(all)":                             "0:11 1:2 2:3 3:4",
		"m1 + 1e1 + .5":                        "0:11.5 1:12.5 2:13.5 3:14.5",
		"SUM(m1)":                              "error", // a number
		"5":                                    "error",
		"SEARCH('{AWS/Lambda} x', 'Sum')":      "error",
		"SELECT AVG(x) FROM y":                 "error",
		"absent":                               "error",
		"m1 +":                                 "error",
		"(m1":                                  "error",
		"m1 m2":                                "error",
		"M1":                                   "error",
		"SUM()":                                "error",
		"'text'":                               "error",
		"":                                     "error",
		strings.Repeat("(", 60) + "m1" + strings.Repeat(")", 60): "error",
		strings.Repeat("-", 2000) + "m1":                         "error",
		"m1 + " + strings.Repeat("0", MaxLength):                 "error",
	} {
		got := "error"
		e, err := Parse(text)
		if err == nil {
			var list []Series
			if list, err = e.Evaluate(input()); err == nil {
				got = show(list)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s (%v)", text, got, want, err)
		}
	}
}

func TestBudget(t *testing.T) {
	e, err := Parse("METRICS() * 2 + m1")
	if err != nil {
		t.Fatal(err)
	}
	in := input()
	*in.Budget = 10
	if _, err := e.Evaluate(in); !errors.Is(err, ErrTooMuch) {
		t.Error(err)
	}
	for _, text := range []string{"TIME_SERIES(1)", "FILL(m1,0)"} {
		in.From, in.To, *in.Budget = 0, 1<<40, 1000
		if e, err = Parse(text); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Evaluate(in); !errors.Is(err, ErrTooMuch) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"SUM(METRICS())", "IF(m1>2,m1,FILL(m2,LINEAR))", "RATE(all)*PERIOD(m1)^-2", `METRICS("m")||m1`, "1e-5 AND 'x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := Parse(s)
		if err != nil {
			return
		}
		list, err := e.Evaluate(input())
		for _, one := range list {
			for i, p := range one.Points {
				if err == nil && (math.IsNaN(p.Value) || math.IsInf(p.Value, 0) || i > 0 && one.Points[i-1].At >= p.At) {
					t.Fatalf("%q: %v", s, one)
				}
			}
		}
	})
}
