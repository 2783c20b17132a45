package catalog

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
)

// zeros is a package of n bytes that packs well.
func zeros(n int64) *artifact.Package {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("zeros")
	if err == nil {
		_, err = io.CopyN(f, zero{}, n)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return artifact.Sent(b.Bytes())
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestCodeAndLayersAreMeasuredTogether(t *testing.T) {
	n := begin(t, Config{})
	n.made(t, "f")
	var layers []alcove.Layer
	for _, size := range []int64{alcove.MaxUnzipped / 2, alcove.MaxUnzipped/2 + 1} {
		l, err := n.PublishLayer(t.Context(), caller, LayerVersion{Name: "l"}, zeros(size))
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, alcove.Layer{Code: l.Code})
	}
	give := func(list []alcove.Layer) error {
		_, err := n.UpdateConfiguration(t.Context(), caller, "f", "", func(c *alcove.Config) error { c.Layers = list; return nil })
		return err
	}
	want(t, give(layers), alcove.CodeInvalidParameterValue,
		"Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. The actual size is 262144002 bytes.")
	if err := give(layers[:1]); err != nil {
		t.Fatal(err)
	}
	n.settled(t, "f")
	_, err := n.UpdateCode(t.Context(), caller, "f", UpdateCodeInput{Zip: zeros(alcove.MaxUnzipped/2 + 1)})
	want(t, err, alcove.CodeInvalidParameterValue,
		"Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. The actual size is 262144001 bytes.")
}

// TestLayersStayWhileFunctionsHaveThem sees that packages of layers are swept
// when neither a layer nor a function has them any more.
func TestLayersStayWhileFunctionsHaveThem(t *testing.T) {
	n := begin(t, Config{})
	n.made(t, "f")
	l, err := n.PublishLayer(t.Context(), caller, LayerVersion{Name: "l"}, makeZip("layer"))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := n.Layers([]string{place.LayerARN("l") + ":1"})
	if err != nil || layers[0].Code != l.Code {
		t.Fatalf("%v %v", layers, err)
	}
	if _, err := n.UpdateConfiguration(t.Context(), caller, "f", "", func(c *alcove.Config) error { c.Layers = layers; return nil }); err != nil {
		t.Fatal(err)
	}
	n.settled(t, "f")
	if err := n.DeleteLayer(t.Context(), caller, "l", 1); err != nil {
		t.Fatal(err)
	}
	n.again(t, Config{}) // sweeps at once
	other, err := n.PublishLayer(t.Context(), caller, LayerVersion{Name: "l"}, makeZip("other"))
	if err != nil || other.Number != 2 {
		t.Fatalf("%+v %v", other, err)
	}
	if err := n.DeleteLayer(t.Context(), caller, "l", 2); err != nil {
		t.Fatal(err)
	}
	poll(t, "the other layer's package goes", func() bool { return !n.stored(other.Code.SHA256) })
	if !n.stored(l.Code.SHA256) {
		t.Error("a package went that a function has as a layer")
	}
	if err := n.Delete(t.Context(), caller, alcove.Ref{Name: "f"}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the layer's package goes", func() bool { return !n.stored(l.Code.SHA256) })
}
