package telemetry

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// timeLayout is the form of every time in a record: UTC, whole milliseconds
// (Lambda developer guide, "Telemetry API Event schema reference").
const timeLayout = "2006-01-02T15:04:05.000Z"

// AppendTime appends at as records have it: 2026-11-23T08:12:00.123Z.
func AppendTime(dst []byte, at time.Time) []byte {
	return at.UTC().AppendFormat(dst, timeLayout)
}

// appendEnvelope opens a record: {"time":"…","type":"…","record":
// The caller appends the record and one closing brace.
func appendEnvelope(dst []byte, at time.Time, kind string) []byte {
	dst = append(dst, `{"time":"`...)
	dst = AppendTime(dst, at)
	dst = append(dst, `","type":"`...)
	dst = append(dst, kind...)
	return append(dst, `","record":`...)
}

// appendMember appends ,"name":"value" — or nothing if value is empty. The
// comma is left out directly after an opening brace.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return AppendString(appendName(dst, name), value)
}

// appendName appends a member's name and colon, with a comma where one belongs.
func appendName(dst []byte, name string) []byte {
	if n := len(dst); n > 0 && dst[n-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

// appendMillis appends a duration as a JSON number of milliseconds, to the
// microsecond and without trailing zeros. Negative durations are zero.
func appendMillis(dst []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	dst = strconv.AppendInt(dst, us/1000, 10)
	frac := us % 1000
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendMillisText appends a duration as the text format has it: milliseconds
// with two decimals, rounded.
func appendMillisText(dst []byte, d time.Duration) []byte {
	hundredths := int64((max(d, 0) + 5*time.Microsecond) / (10 * time.Microsecond))
	dst = strconv.AppendInt(dst, hundredths/100, 10)
	frac := hundredths % 100
	return append(dst, '.', byte('0'+frac/10), byte('0'+frac%10))
}

// AppendString appends s as a JSON string, escaped as encoding/json does
// without HTML escaping: invalid UTF-8 becomes U+FFFD.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := decodeRune(s, i)
			if (r != utf8.RuneError || size != 1) && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
			dst = append(dst, s[start:i]...)
			if r == utf8.RuneError {
				dst = append(dst, `\ufffd`...)
			} else {
				dst = append(dst, `\u202`...)
				dst = append(dst, hex[r&0xf])
			}
			i += size
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// decodeRune is utf8.DecodeRune at i for both kinds of s, without a copy of
// more than one rune.
func decodeRune[T string | []byte](s T, i int) (rune, int) {
	var buf [utf8.UTFMax]byte
	n := copy(buf[:], s[i:min(i+utf8.UTFMax, len(s))])
	return utf8.DecodeRune(buf[:n])
}
