package catalog

import "testing"

func TestCodeSigningConfigSurvivesARestart(t *testing.T) {
	n := begin(t, Config{})
	made, err := n.CreateSigning(t.Context(), caller, SigningConfig{Description: "d", Publishers: []string{"p"}, Policy: "Warn"})
	if err != nil {
		t.Fatal(err)
	}
	other, err := n.CreateSigning(t.Context(), caller, SigningConfig{Policy: "Warn"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.DeleteSigning(t.Context(), caller, other.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Signing(other.ID); err == nil {
		t.Error("it is there after it was deleted")
	}
	if _, err := n.UpdateSigning(t.Context(), caller, made.ID, func(s *SigningConfig) error { s.Policy = "Enforce"; return nil }); err != nil {
		t.Fatal(err)
	}
	n.again(t, Config{})
	got, err := n.Signing(made.ID)
	if err != nil || got.Policy != "Enforce" || got.Description != "d" || len(got.Publishers) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	if list, next, err := n.Signings("", 10); len(list) != 1 || next != "" || err != nil {
		t.Errorf("%v %q %v", list, next, err)
	}
	if n.unreadable.Load() {
		t.Error("a record could not be read")
	}
}
