package alcove

import (
	"fmt"
	"strings"
	"testing"
)

func TestImageSettings(t *testing.T) {
	image := ImageSettings{EntryPoint: []string{"e"}, Command: []string{"c"}, Environment: []string{"A=b"}, WorkingDirectory: "/w"}
	for _, c := range []struct {
		config *ImageConfig
		want   string
	}{
		{nil, "{[e] [c] [A=b] /w <nil>}"},
		{&ImageConfig{}, "{[e] [c] [A=b] /w <nil>}"},
		{&ImageConfig{Command: []string{"x", "y"}}, "{[e] [x y] [A=b] /w <nil>}"},
		{&ImageConfig{EntryPoint: []string{"x"}, WorkingDirectory: "/x"}, "{[x] [c] [A=b] /x <nil>}"},
	} {
		if got := fmt.Sprint(image.With(c.config)); got != c.want {
			t.Errorf("with %+v: %s, want %s", c.config, got, c.want)
		}
	}
	if err := image.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []ImageSettings{
		{EntryPoint: []string{"a\x00"}}, {Command: []string{"\x00"}}, {WorkingDirectory: "/\x00"}, {Environment: []string{"A"}}, {Environment: []string{"=b"}},
		{Environment: []string{"A=" + strings.Repeat("b", MaxImageSettings)}},
	} {
		if bad.Check() == nil {
			t.Errorf("%.100v is taken", bad)
		}
	}
	if d := (Code{SHA256: strings.Repeat("ab", 32), Image: "r/a"}).Digest(); d != strings.Repeat("ab", 32) {
		t.Errorf("digest of an image: %s", d)
	}
	if d := (Code{SHA256: strings.Repeat("00", 32)}).Digest(); d != "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" {
		t.Errorf("digest of a zip file: %s", d)
	}
}
