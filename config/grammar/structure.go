package grammar

import (
	"strings"
	"unicode"
)

// Messages that come up in several places.
const (
	unexpectedEOF = "Unexpected EOF."
	listTerm      = `Expected an array value terminator "," or an array terminator "]", but got '%v' instead.`
	mapTerm       = `Expected a map value terminator "," or a map terminator "}", but got '%v' instead.`
	topTerm       = "Expected a top-level value to end with a new line, comment or EOF, but got '%v' instead."
	bracesTerm    = "Expected a block-level value to end with a new line, comment or EOF, but got '%v' instead."
	bracesEnd     = "Expected a block-level to end with a '}', but got '%v' instead."
)

// cut is the end of the file inside an item: an error unless it has not begun.
func (p *parser) cut() error {
	if p.atEnd() {
		return errEnd
	}
	return p.fail(unexpectedEOF)
}

// whole reads the file: entries, and entries in braces.
func (p *parser) whole() error {
	for {
		p.skipSpace()
		p.begin()
		r := p.next()
		var err error
		switch {
		case r == '{':
			err = p.braces(1)
		case p.comment(r):
		case r == '/' || r == end:
			return p.cut()
		default:
			p.backup()
			if err = p.entry(); err == nil {
				err = p.topEnd()
			}
		}
		if err != nil {
			return err
		}
	}
}

// topEnd takes what ends a value outside all braces.
func (p *parser) topEnd() error {
	for {
		r := p.next()
		switch {
		case p.comment(r):
			return nil
		case r == '/' || isBlank(r):
		case isNewline(r), r == end, r == ';', r == ',', r == '}':
			p.begin()
			return nil
		default:
			return p.fail(topTerm, shown(r))
		}
	}
}

// braces reads entries up to the brace that closes those around the file.
func (p *parser) braces(depth int) error {
	if depth > p.Limits.Depth {
		return p.fail("Nested deeper than %d", p.Limits.Depth)
	}
	for {
		p.skipSpace()
		p.begin()
		r := p.next()
		var (
			closed bool
			err    error
		)
		switch {
		case r == '{':
			if err = p.braces(depth + 1); err == nil {
				closed, err = p.bracesEnd()
			}
		case r == '}':
			p.begin()
			return nil
		case p.comment(r):
		case r == '/' || r == end:
			return p.cut()
		default:
			p.backup()
			if err = p.entry(); err == nil {
				closed, err = p.bracesValueEnd()
			}
		}
		if err != nil || closed {
			return err
		}
	}
}

// bracesValueEnd takes what ends a value in braces; closed says that the brace did.
func (p *parser) bracesValueEnd() (closed bool, err error) {
	for {
		r := p.next()
		switch {
		case p.comment(r), r == '/', isBlank(r):
		case isNewline(r), r == ';', r == ',':
			return false, nil
		case r == '}':
			p.backup()
			return p.bracesEnd()
		default:
			return false, p.fail(bracesTerm, shown(r))
		}
	}
}

// bracesEnd takes the closing brace or goes on with entries.
func (p *parser) bracesEnd() (closed bool, err error) {
	for {
		r := p.next()
		switch {
		case p.comment(r):
			return false, nil
		case r == '/', isNewline(r), isBlank(r):
		case r == ';', r == ',':
			return false, nil
		case r == '}':
			p.begin()
			return true, nil
		default:
			return false, p.fail(bracesEnd, shown(r))
		}
	}
}

// entry reads a key with its value, or an include, outside maps.
func (p *parser) entry() error {
	r := p.peek()
	if isSeparator(r) {
		return p.fail("Unexpected key separator '%v'", shown(r))
	}
	if r == '"' || r == '\'' {
		if err := p.quotedKey(r, unexpectedEOF); err != nil {
			return err
		}
	} else if included, err := p.bareKey(""); included || err != nil {
		return err
	}
	p.skipSpace()
	p.begin()
	r = p.next()
	switch {
	case r == end:
		return errEnd
	case !isSeparator(r):
		p.backup()
	}
	return p.value()
}

// quotedKey reads a key in quotes. cut is the error for the file's end in it;
// outside maps a quote that opens there is as if it were not.
func (p *parser) quotedKey(quote rune, cut string) error {
	p.next()
	p.begin()
	for {
		switch r := p.peek(); {
		case r == quote:
			p.hold()
			p.next()
			p.begin()
			return nil
		case r == end && cut == unexpectedEOF:
			return p.cut()
		case r == end:
			return p.fail("%s", cut)
		}
		p.next()
	}
}

// bareKey reads a key without quotes: up to a separator or white space. cut is
// the error for the file's end in it, empty where that ends the key. An include
// is done here too.
func (p *parser) bareKey(cut string) (included bool, err error) {
	p.begin()
	p.next()
	for {
		switch r := p.peek(); {
		case unicode.IsSpace(r):
			if strings.ToLower(p.text()) == "include" {
				return true, p.include()
			}
			p.hold()
			return false, nil
		case r == end && cut != "":
			return false, p.fail("%s", cut)
		case isSeparator(r), r == end:
			p.hold()
			return false, nil
		}
		p.next()
	}
}

// mapping reads a map behind its opening brace.
func (p *parser) mapping() error {
	if err := p.enter(new(Table)); err != nil {
		return err
	}
	for {
		p.skipSpace()
		p.begin()
		r := p.peek()
		closed := false
		var err error
		switch {
		case isSeparator(r):
			err = p.fail("Unexpected key separator '%v'.", shown(r))
		case r == ']':
			err = p.fail("Unexpected array end '%v' processing map.", shown(r))
		case r == end:
			err = p.fail("Unexpected EOF processing map.")
		case r == '}':
			p.next()
			closed = true
		case r == '#' || r == '/':
			p.next()
			if p.comment(r) {
				continue
			}
			// A lone slash is dropped, and any rune may begin the key behind it.
			closed, err = p.mapEntry(0)
		default:
			closed, err = p.mapEntry(r)
		}
		if err != nil {
			return err
		}
		if closed {
			return p.leave()
		}
	}
}

// mapEntry reads a key with its value, or an include, and what ends it. first
// is its first rune. closed says that the map ended, perhaps before the value.
func (p *parser) mapEntry(first rune) (closed bool, err error) {
	switch first {
	case '"':
		err = p.quotedKey(first, "Unexpected EOF processing double quoted map key.")
	case '\'':
		err = p.quotedKey(first, "Unexpected EOF processing quoted map key.")
	default:
		var included bool
		included, err = p.bareKey("Unexpected EOF processing map key.")
		if included && err == nil {
			return p.mapValueEnd()
		}
	}
	if err != nil {
		return false, err
	}
	p.skipSpace()
	if !isSeparator(p.next()) {
		p.backup()
	}
	p.skipSpace()
	p.begin()
	switch p.next() {
	case ',':
		return false, p.fail(`Unexpected map value terminator ",".`)
	case '}':
		return true, nil
	}
	p.backup()
	if err := p.value(); err != nil {
		return false, err
	}
	return p.mapValueEnd()
}

// mapValueEnd takes what ends a value in a map; closed says that the map did.
func (p *parser) mapValueEnd() (closed bool, err error) {
	for {
		r := p.next()
		switch {
		case isBlank(r), p.comment(r):
		case r == ';', r == ',', r == '/', isNewline(r):
			return false, nil
		case r == '}':
			return true, nil
		default:
			return false, p.fail(mapTerm, shown(r))
		}
	}
}

// list reads a list behind its opening bracket.
func (p *parser) list() error {
	if err := p.enter(nil); err != nil {
		return err
	}
	for {
		p.skipSpace()
		p.begin()
		r := p.next()
		switch {
		case p.comment(r):
			continue
		case r == ',' || r == '/':
			return p.fail("Unexpected array value terminator ','.")
		case r == ']':
			return p.leave()
		}
		p.backup()
		if err := p.value(); err != nil {
			return err
		}
		if closed, err := p.listValueEnd(); err != nil {
			return err
		} else if closed {
			return p.leave()
		}
	}
}

// listValueEnd takes what ends a value in a list; closed says that the list did.
func (p *parser) listValueEnd() (closed bool, err error) {
	for {
		r := p.next()
		switch {
		case isBlank(r), p.comment(r):
		case r == ',', r == '/', isNewline(r):
			return false, nil
		case r == ']':
			return true, nil
		default:
			return false, p.fail(listTerm, shown(r))
		}
	}
}
