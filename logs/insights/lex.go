package insights

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SyntaxError says what of a query cannot be understood, and where: characters from
// Start to before End, counted from zero.
type SyntaxError struct {
	Start, End int
	Message    string
}

func (e *SyntaxError) Error() string { return e.Message }

// tokenKind is what a token is.
type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenQuotedName // in backticks, or with a part that is
	tokenString
	tokenNumber
	tokenSymbol
)

// token is a word of the query. start and end are byte offsets.
type token struct {
	kind       tokenKind
	text       string // of a string and a name what it stands for
	start, end int
}

// lexer cuts a query into tokens, one ahead.
type lexer struct {
	query string
	pos   int // behind tok
	tok   token
}

// symbols of two characters come first.
var symbols = []string{"==", "!=", "<=", ">=", "=~", "|", ",", "(", ")", "[", "]", "=", "<", ">", "+", "-", "*", "/", "%", "^"}

// next moves on to the next token.
func (l *lexer) next() error {
	l.space()
	rest, start := l.query[l.pos:], l.pos
	if rest == "" {
		l.tok = token{start: start, end: start}
		return nil
	}
	switch c := rest[0]; {
	case c == '"' || c == '\'':
		return l.quoted(c)
	case c >= '0' && c <= '9' || c == '.' && len(rest) > 1 && digits(rest[1:2]) > 0:
		return l.number()
	case c == '`' || isNameStart(c):
		return l.name()
	}
	for _, s := range symbols {
		if strings.HasPrefix(rest, s) {
			l.pos += len(s)
			l.tok = token{tokenSymbol, s, start, l.pos}
			return nil
		}
	}
	_, size := utf8.DecodeRuneInString(rest)
	return l.unexpected(token{tokenSymbol, rest[:size], start, start + size})
}

// space passes over white space and comments, which go from # to the end of a line.
func (l *lexer) space() {
	for {
		rest := strings.TrimLeftFunc(l.query[l.pos:], unicode.IsSpace)
		l.pos = len(l.query) - len(rest)
		if !strings.HasPrefix(rest, "#") {
			return
		}
		end := strings.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest)
		}
		l.pos += end
	}
}

func isNameStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '@' || c == '$'
}

// name reads the name of a field, with the names of members behind dots, places of
// lists in brackets, and whatever backticks hold.
func (l *lexer) name() error {
	start := l.pos
	var b strings.Builder
	k := tokenName
	for l.pos < len(l.query) {
		rest := l.query[l.pos:]
		switch c := rest[0]; {
		case c == '`':
			n := strings.IndexByte(rest[1:], '`')
			if n <= 0 {
				return l.fail(start, len(l.query), "a backtick has no end, or nothing between it and its end")
			}
			b.WriteString(rest[1 : 1+n])
			l.pos += n + 2
			k = tokenQuotedName
		case isNameStart(c), c >= '0' && c <= '9', c == '.':
			b.WriteByte(c)
			l.pos++
		case c == '[' && !strings.EqualFold(b.String(), "in") && digits(rest[1:]) > 0 && strings.HasPrefix(rest[1+digits(rest[1:]):], "]"):
			n := digits(rest[1:])
			b.WriteString("." + rest[1:1+n])
			l.pos += n + 2
		default:
			return l.named(k, b.String(), start)
		}
	}
	return l.named(k, b.String(), start)
}

func (l *lexer) named(k tokenKind, name string, start int) error {
	if len(name) > maxName || strings.Count(name, ".") >= maxParts {
		return l.fail(start, l.pos, "the name is too long")
	}
	l.tok = token{k, name, start, l.pos}
	return nil
}

func (l *lexer) number() error {
	start := l.pos
	n := 0
	rest := l.query[start:]
	for n < len(rest) && (rest[n] >= '0' && rest[n] <= '9' || rest[n] == '.') {
		n++
	}
	// An exponent is part of a number, the unit of a period is not.
	if n+1 < len(rest) && (rest[n] == 'e' || rest[n] == 'E') {
		e := n + 1
		if rest[e] == '+' || rest[e] == '-' {
			e++
		}
		if d := digits(rest[e:]); d > 0 {
			n = e + d
		}
	}
	l.pos += n
	l.tok = token{tokenNumber, rest[:n], start, l.pos}
	if _, ok := parseNumber(rest[:n]); !ok {
		return l.unexpected(l.tok)
	}
	return nil
}

// quoted reads a string. A backslash stands before the quotes, before itself, and
// before n, t and r; any other stays.
func (l *lexer) quoted(quote byte) error {
	start := l.pos
	var b strings.Builder
	for i := start + 1; i < len(l.query); i++ {
		switch c := l.query[i]; {
		case c == quote:
			l.pos = i + 1
			l.tok = token{tokenString, b.String(), start, l.pos}
			return nil
		case c == '\\' && i+1 < len(l.query):
			i++
			switch e := l.query[i]; e {
			case '\\', '"', '\'':
				b.WriteByte(e)
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			default:
				b.WriteByte('\\')
				b.WriteByte(e)
			}
		default:
			b.WriteByte(c)
		}
	}
	return l.fail(start, len(l.query), "a string has no end")
}

// pattern reads the regular expression that begins at the current token, a slash, and
// moves on behind it.
func (l *lexer) pattern() (expr string, at token, err error) {
	start := l.tok.start
	for i := start + 1; i < len(l.query); i++ {
		switch l.query[i] {
		case '\\':
			i++
		case '/':
			l.pos = i + 1
			at = token{tokenSymbol, l.query[start:l.pos], start, l.pos}
			return l.query[start+1 : i], at, l.next()
		}
	}
	return "", at, l.fail(start, len(l.query), "a regular expression has no end")
}

// fail makes an error about a part of the query.
func (l *lexer) fail(start, end int, format string, args ...any) error {
	line := 1 + strings.Count(l.query[:start], "\n")
	column := utf8.RuneCountInString(l.query[strings.LastIndexByte(l.query[:start], '\n')+1 : start])
	return &SyntaxError{
		Start: utf8.RuneCountInString(l.query[:start]), End: utf8.RuneCountInString(l.query[:end]),
		Message: fmt.Sprintf(format, args...) + fmt.Sprintf(" at line %d and position %d", line, column),
	}
}

// unexpected is the error of a token that cannot be where it is.
func (l *lexer) unexpected(t token) error {
	if t.kind == tokenEnd {
		return l.fail(t.start, t.end, "unexpected end of the query")
	}
	return l.fail(t.start, t.end, "unexpected symbol found %.100s", l.query[t.start:t.end])
}
