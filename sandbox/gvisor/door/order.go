package door

import (
	"encoding/json"
	"io"
	"os"
)

// OrderFD is the descriptor on which a held door gets its order, a pipe.
const OrderFD = 4

// Order says what a held door runs, in the terms of execve.
type Order struct {
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
}

// Held returns the arguments of a door that waits for an order. Without tcp it
// becomes the program and is no door any more.
func Held(tcp bool) []string {
	if tcp {
		return []string{Arg0HeldTCP}
	}
	return []string{Arg0Held}
}

// Send writes the order. The end of the pipe is its end.
func (o Order) Send(w io.Writer) error {
	return json.NewEncoder(w).Encode(o)
}

// await reads the order and closes the pipe: the program does not get it.
func await() (Order, error) {
	var o Order
	f := os.NewFile(OrderFD, "order")
	defer f.Close()
	return o, json.NewDecoder(f).Decode(&o)
}
