package catalog

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/alcove-run/alcove"
	"github.com/alcove-run/alcove/artifact"
	"github.com/alcove-run/alcove/artifact/flatten"
)

const firstImage, secondImage = "r/a:1", "r/a:2"

// resolveImages is a registry of two images.
func resolveImages(_ context.Context, image string) (alcove.Code, error) {
	digest := map[string]string{firstImage: strings.Repeat("1", 64), secondImage: strings.Repeat("2", 64)}[image]
	if digest == "" {
		return alcove.Code{}, alcove.InvalidParameter("Source image %s does not exist. Provide a valid source image.", image)
	}
	return alcove.Code{SHA256: digest, Image: image, Resolved: "r/a@sha256:" + digest}, nil
}

func imageConfig() alcove.Config {
	c := config("")
	c.PackageType, c.Runtime, c.Handler = alcove.PackageImage, "", ""
	return c
}

func (n *node) pulled(t *testing.T, code alcove.Code) {
	t.Helper()
	_, err := n.art.PutImage(t.Context(), code.SHA256, 1<<20, func(context.Context, *flatten.Builder) (alcove.ImageSettings, error) {
		return alcove.ImageSettings{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) hasImage(code alcove.Code) bool {
	_, err := n.art.Image(code.SHA256)
	return err == nil
}

func TestImages(t *testing.T) {
	release := make(chan error)
	cfg := Config{Resolve: resolveImages, Prepare: func(ctx context.Context, v *alcove.Version) error {
		if !v.FromImage() {
			return nil
		}
		select {
		case err := <-release:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	n := begin(t, cfg)
	ctx := t.Context()
	_, err := n.Create(ctx, caller, CreateInput{Name: "none", Config: imageConfig(), Image: "r/none"})
	want(t, err, alcove.CodeInvalidParameterValue, "Source image r/none does not exist. Provide a valid source image.")

	v, err := n.Create(ctx, caller, CreateInput{Name: "f", Config: imageConfig(), Image: firstImage})
	if err != nil || v.State != alcove.StatePending || v.Code.Digest() != v.Code.SHA256 {
		t.Fatalf("%+v, %v", v, err)
	}
	// As many images as are pulled at a time hold up no zip file.
	for _, name := range []string{"g", "h", "i", "j"} {
		if _, err := n.Create(ctx, caller, CreateInput{Name: name, Config: imageConfig(), Image: firstImage}); err != nil {
			t.Fatal(err)
		}
	}
	n.made(t, "zip")
	// The next process goes on with them.
	n.again(t, cfg)
	if got := n.resolve(t, "f", ""); got.State != alcove.StatePending {
		t.Errorf("after a restart: %s", got.State)
	}
	go func() {
		for range 5 {
			release <- nil
		}
	}()
	first := n.settled(t, "f")
	if first.State != alcove.StateActive {
		t.Fatalf("%+v", first)
	}
	for _, name := range []string{"g", "h", "i", "j"} {
		n.settled(t, name)
		if err := n.Delete(ctx, caller, alcove.Ref{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	n.pulled(t, first.Code)

	_, err = n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Zip: makeZip("x")})
	want(t, err, alcove.CodeInvalidParameterValue, "Please provide ImageUri when updating a function with packageType Image.")
	_, err = n.UpdateCode(ctx, caller, "zip", UpdateCodeInput{Image: firstImage})
	want(t, err, alcove.CodeInvalidParameterValue, "Please don't provide ImageUri when updating a function with packageType Zip.")

	// An update that fails leaves what runs, and says why.
	if _, err := n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Image: secondImage}); err != nil {
		t.Fatal(err)
	}
	release <- &alcove.NotReady{Code: alcove.NotReadyImageAccess, Reason: "no access", Err: errors.New("for the operator")}
	failed := n.settled(t, "f")
	if failed.State != alcove.StateActive || failed.Update != alcove.UpdateFailed || failed.UpdateReasonCode != "ImageAccessDenied" || failed.UpdateReason != "no access" {
		t.Errorf("%+v", failed)
	}
	if runs := n.resolve(t, "f", ""); runs.Code != first.Code {
		t.Errorf("what runs is %+v", runs.Code)
	}

	// An image goes when nobody refers to it.
	if _, err := n.UpdateCode(ctx, caller, "f", UpdateCodeInput{Image: secondImage}); err != nil {
		t.Fatal(err)
	}
	if !n.hasImage(first.Code) {
		t.Error("an image is removed that still runs")
	}
	release <- nil
	second := n.settled(t, "f")
	n.pulled(t, second.Code)
	poll(t, "the image before is removed", func() bool { return !n.hasImage(first.Code) })
	if !n.hasImage(second.Code) {
		t.Error("the image of a function is removed")
	}
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "f"}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the image of a deleted function is removed", func() bool { return !n.hasImage(second.Code) })
}

func TestNoImages(t *testing.T) {
	n := begin(t, Config{})
	_, err := n.Create(t.Context(), caller, CreateInput{Name: "f", Config: imageConfig(), Image: firstImage})
	want(t, err, alcove.CodeInvalidParameterValue, "This node has no container images.")
}

// Nothing is made ready any more of what is deleted meanwhile, and what follows under
// its name has nothing to do with it.
func TestDeletedWhilePrepared(t *testing.T) {
	begun, ended := make(chan string, 1), make(chan error, 1)
	n := begin(t, Config{Resolve: resolveImages, Prepare: func(ctx context.Context, v *alcove.Version) error {
		if v.Code.Image == secondImage {
			return nil
		}
		begun <- v.Number
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}})
	ctx := t.Context()
	create := func(image string) {
		t.Helper()
		if _, err := n.Create(ctx, caller, CreateInput{Name: "f", Config: imageConfig(), Image: image, Publish: true}); err != nil {
			t.Fatal(err)
		}
	}
	unwanted := func(what string) {
		t.Helper()
		if err := <-ended; !errors.Is(err, artifact.ErrUnwanted) {
			t.Errorf("%s: Prepare ended with %v", what, err)
		}
	}
	create(firstImage)
	if got := <-begun; got != "1" {
		t.Fatalf("%s is first", got)
	}
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "f", Qualifier: "1"}); err != nil {
		t.Fatal(err)
	}
	unwanted("the version")
	if got := <-begun; got != alcove.Latest {
		t.Fatalf("%s is second", got)
	}
	if err := n.Delete(ctx, caller, alcove.Ref{Name: "f"}); err != nil {
		t.Fatal(err)
	}
	create(secondImage) // at once
	unwanted("the function")
	if v := n.settled(t, "f"); v.State != alcove.StateActive {
		t.Errorf("%+v", v)
	}
}
