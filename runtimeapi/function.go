package runtimeapi

import (
	"errors"
	"net/http"
)

// functionPath is alcove's own: AWS has nothing like it, and its runtimes, and
// everybody else's, never ask for it.
const functionPath = "/alcove/function"

// ErrFunctionKnown is [Environment.Function]'s answer in an environment that was
// made for its function, or has told it already. The path is then as unknown as
// any other that AWS does not have.
var ErrFunctionKnown = errors.New("runtimeapi: the environment knows its function")

// function answers GET /alcove/function: it blocks until the environment is given
// its function, and answers with what the runtime needs to become that
// function's, once. There is nothing in it that the function is not told anyway.
func (s *Server) function(w http.ResponseWriter, r *http.Request, _ string) {
	raw, err := s.env.Function(r.Context())
	switch {
	case err == nil:
		render(w, http.StatusOK, typeJSON, raw)
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody is there; to return would be an empty answer
	case errors.Is(err, ErrFunctionKnown):
		s.pay(s.idle, 1)
		w.WriteHeader(http.StatusNotFound)
	default:
		s.refuse(w, r, err, "Specialised")
	}
}
