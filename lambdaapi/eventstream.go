package lambdaapi

import "github.com/alcove-run/alcove/internal/eventstream"

// appendChunk writes a PayloadChunk event.
func appendChunk(b, payload []byte) []byte {
	return eventstream.Append(b, chunkHeaders[:], payload)
}

var chunkHeaders = [...]eventstream.Header{
	{Name: ":message-type", Value: "event"}, {Name: ":event-type", Value: "PayloadChunk"}, {Name: ":content-type", Value: "application/octet-stream"},
}

var completeHeaders = [...]eventstream.Header{
	{Name: ":message-type", Value: "event"}, {Name: ":event-type", Value: "InvokeComplete"}, {Name: ":content-type", Value: "application/json"},
}

// appendError writes a frame that SDKs turn into an error: for what went wrong
// after the answer had begun, and is no fault of the function's.
func appendError(b []byte, code, message string) []byte {
	const most = 1 << 10
	return eventstream.Append(b, []eventstream.Header{
		{Name: ":message-type", Value: "error"}, {Name: ":error-code", Value: code[:min(len(code), most)]}, {Name: ":error-message", Value: message[:min(len(message), most)]},
	}, nil)
}
