package grammar

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// value reads any value behind its key or at its place in a list.
func (p *parser) value() error {
	p.skipBlanks()
	p.begin()
	r := p.next()
	switch {
	case r == '[':
		return p.list()
	case r == '{':
		return p.mapping()
	case r == '\'':
		p.begin()
		return p.rawString()
	case r == '"':
		p.begin()
		return p.quotedString()
	case r == '(':
		p.begin()
		return p.block()
	case r == '-':
		return p.negative()
	case unicode.IsDigit(r):
		return p.number()
	case r == '.':
		return p.fail("Floats must start with a digit")
	case isNewline(r):
		return p.fail("Expected value but found new line")
	}
	p.backup()
	return p.bareString()
}

// rawString reads the rest of a string in single quotes.
func (p *parser) rawString() error {
	for {
		switch p.next() {
		case '\'':
			p.backup()
			err := p.putString(p.text())
			p.next()
			p.begin()
			return err
		case end:
			return p.cut()
		}
	}
}

// quotedString reads the rest of a string in double quotes.
func (p *parser) quotedString() error {
	var u unescaped
	u.from = p.pos
	for {
		switch p.next() {
		case '\\':
			if err := p.escape(&u); err != nil {
				return err
			}
		case '"':
			p.backup()
			err := p.putString(u.text(p))
			p.next()
			p.begin()
			return err
		case end:
			// Counted from the last escape: one right at the end hides the cut.
			if p.pos <= u.from {
				p.saved = p.pos - p.start - len(u.text(p))
				return errEnd
			}
			return p.fail(unexpectedEOF)
		}
	}
}

// bareString reads the rest of a string without quotes, which may turn out to
// be a bool or a reference. Where it began is known; some of it may be taken.
func (p *parser) bareString() error {
	var u unescaped
	u.from = p.start
	for {
		r := p.next()
		switch {
		case r == '\\':
			if err := p.escape(&u); err != nil {
				return err
			}
		case r == '\'':
			p.backup()
			err := p.putString(u.text(p))
			p.next()
			p.begin()
			return err
		case isNewline(r), isBlank(r), r == end, r == ';', r == ',', r == ']', r == '}':
			p.backup()
			return p.bareEnd(&u)
		}
	}
}

// bareEnd decides what a string without quotes is.
func (p *parser) bareEnd(u *unescaped) error {
	text := u.text(p)
	if u.any {
		return p.putString(text)
	}
	switch strings.ToLower(text) {
	case "true", "yes", "on":
		return p.put(&Value{Kind: Bool, Bool: true, Pos: p.at(len(text)), size: 1})
	case "false", "no", "off":
		return p.put(&Value{Kind: Bool, Pos: p.at(len(text)), size: 1})
	}
	if name, ok := strings.CutPrefix(text, "$"); ok {
		return p.reference(name)
	}
	return p.putString(text)
}

// unescaped gathers a string with escapes.
type unescaped struct {
	done []byte
	from int // offset of the text behind the last escape
	any  bool
}

func (u *unescaped) text(p *parser) string { return string(u.done) + p.src[u.from:p.pos] }

// escape reads an escape behind its backslash.
func (p *parser) escape(u *unescaped) error {
	u.any = true
	u.done = append(u.done, p.src[u.from:p.pos-1]...)
	switch r := p.next(); r {
	case 't':
		u.done = append(u.done, '\t')
	case 'n':
		u.done = append(u.done, '\n')
	case 'r':
		u.done = append(u.done, '\r')
	case '"', '\\':
		u.done = append(u.done, byte(r))
	case 'x':
		for range 2 {
			if isNewline(p.next()) {
				return p.fail(`Expected two hexadecimal digits after '\x', but hit end of line`)
			}
		}
		digits := p.src[p.pos-2 : p.pos]
		b, err := hex.DecodeString(digits)
		if err != nil {
			return p.fail(`Expected two hexadecimal digits after '\x', but got '%s'`, digits)
		}
		u.done = append(u.done, b...)
	default:
		return p.fail(`Invalid escape character '%v'. Only the following escape characters are allowed: `+
			`\xXX, \t, \n, \r, \", \\.`, shown(r))
	}
	u.from = p.pos
	return nil
}

// block reads the rest of a text in parentheses: up to one alone on its line.
func (p *parser) block() error {
	for {
		switch p.next() {
		case ')':
			at := p.pos - 1
			if p.src[at-1] != '\n' {
				continue
			}
			r := p.next()
			p.backup()
			if r != '\n' && r != end {
				continue
			}
			// At the end of the file the parenthesis stays in the text.
			if p.width != 0 {
				p.pos = at
			}
			err := p.putString(p.text())
			p.next()
			p.begin()
			return err
		case end:
			return p.fail("Unexpected EOF processing block.")
		}
	}
}

func (p *parser) putString(text string) error {
	return p.put(&Value{Kind: String, Str: text, Pos: p.at(len(text)), size: 1})
}

// negative reads a number behind its minus sign.
func (p *parser) negative() error {
	r := p.next()
	if r == '.' {
		return p.fail("Floats must start with a digit, not '.'.")
	}
	if !unicode.IsDigit(r) {
		return p.fail("Expected a digit but got '%v'.", shown(r))
	}
	for unicode.IsDigit(r) {
		r = p.next()
	}
	switch {
	case r == '.':
		return p.fraction()
	case isSuffix(r):
		return p.suffixed()
	}
	p.backup()
	return p.putInt()
}

// number reads a number behind its first digit, or what turns out to be a
// date, an address or a string.
func (p *parser) number() error {
	r := p.next()
	for unicode.IsDigit(r) {
		r = p.next()
	}
	switch {
	case r == '-':
		if p.pos-p.start != len("2006-") {
			return p.fail("All ISO8601 dates must be in full Zulu form.")
		}
		return p.date()
	case r == '.':
		return p.fraction()
	case isSuffix(r):
		return p.suffixed()
	case endsNumber(r):
		p.backup()
		return p.putInt()
	}
	return p.bareString()
}

// suffixed reads a number behind the first letter of its suffix.
func (p *parser) suffixed() error {
	r := p.next()
	for r == 'b' || r == 'B' || r == 'i' || r == 'I' {
		r = p.next()
	}
	p.backup()
	if endsNumber(r) {
		return p.putInt()
	}
	return p.bareString()
}

// fraction reads a float behind its point, or an address.
func (p *parser) fraction() error {
	r := p.next()
	if !unicode.IsDigit(r) {
		return p.fail("Floats must have a digit after the '.', but got '%v' instead.", shown(r))
	}
	for unicode.IsDigit(r) {
		r = p.next()
	}
	if r == '.' {
		for unicode.IsDigit(r) || r == '.' || r == ':' || r == '-' {
			r = p.next()
		}
		p.backup()
		return p.putString(p.text())
	}
	p.backup()
	return p.putFloat()
}

// date reads a time behind its year.
func (p *parser) date() error {
	for _, want := range "00-00T00:00:00Z" {
		r := p.next()
		if want == '0' {
			if !unicode.IsDigit(r) {
				return p.fail("Expected digit in ISO8601 datetime, but found '%v' instead.", shown(r))
			}
		} else if r != want {
			return p.fail("Expected '%v' in ISO8601 datetime, but found '%v' instead.", shown(want), shown(r))
		}
	}
	text := p.text()
	t, err := time.Parse("2006-01-02T15:04:05Z", text)
	if err != nil {
		return p.bad("expected Zulu formatted DateTime, but got '%s'", text)
	}
	return p.put(&Value{Kind: Time, Time: t, Pos: p.at(len(text)), size: 1})
}

// units are the factors of a suffix in small letters.
var units = map[string]int64{
	"":  1,
	"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18,
	"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50, "eb": 1 << 60,
	"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40, "pi": 1 << 50, "ei": 1 << 60,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50, "eib": 1 << 60,
}

// putInt puts the integer just read. An unknown suffix is no error: its key is
// left waiting. A product that does not fit wraps around.
func (p *parser) putInt() error {
	text := p.text()
	digits := 0
	for _, r := range text {
		if r != '-' && !unicode.IsDigit(r) {
			break
		}
		digits++
	}
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	if err != nil {
		if errors.Is(err, strconv.ErrRange) {
			return p.bad("integer '%s' is out of the range", text)
		}
		return p.bad("expected integer, but got '%s'", text)
	}
	factor, known := units[strings.ToLower(text[digits:])]
	if !known {
		p.dangling = false
		return nil
	}
	return p.put(&Value{Kind: Int, Int: n * factor, Pos: p.at(len(text)), size: 1})
}

func (p *parser) putFloat() error {
	text := p.text()
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		if errors.Is(err, strconv.ErrRange) {
			return p.bad("float '%s' is out of the range", text)
		}
		return p.bad("expected float, but got '%s'", text)
	}
	return p.put(&Value{Kind: Float, Float: f, Pos: p.at(len(text)), size: 1})
}

// bad makes the error of a value that has the right form and no meaning. The
// reference does not say where it is.
func (p *parser) bad(format, text string) error {
	return &Error{Pos: p.at(len(text)), Text: fmt.Sprintf(format, text)}
}

func isSuffix(r rune) bool { return r != end && strings.ContainsRune("kKmMgGtTpPeE", r) }

// endsNumber lacks the bracket that ends a list: there an integer goes on.
func endsNumber(r rune) bool {
	return isNewline(r) || isBlank(r) || r == end || r == '}' || r == ';' || r == ','
}
