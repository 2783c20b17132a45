package alcove

import (
	"crypto/sha256"
	"encoding/hex"
)

// MaxLayers is how many layers a function may have (Lambda quotas).
const MaxLayers = 5

// Layer is a version of a layer as a function has it: what it holds stays as it
// was, and stays there when the layer's version is deleted.
type Layer struct {
	ARN  string `json:"arn"`
	Code Code   `json:"code"`
}

// LayersDigest names what layers look like together, one over the other in their
// order, in lower-case hexadecimal: of one it is the layer's own digest, of none
// it is empty.
func LayersDigest(layers []Layer) string {
	switch len(layers) {
	case 0:
		return ""
	case 1:
		return layers[0].Code.SHA256
	}
	h := sha256.New()
	h.Write([]byte("alcove layers\n"))
	for _, l := range layers {
		h.Write([]byte(l.Code.SHA256 + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Packages are the digests of everything that environments of v look at: its
// code, its layers and what these look like together.
func (v *Version) Packages() []string {
	list := []string{v.Code.SHA256}
	for _, l := range v.Config.Layers {
		list = append(list, l.Code.SHA256)
	}
	if len(v.Config.Layers) > 1 {
		list = append(list, LayersDigest(v.Config.Layers))
	}
	return list
}
