package grammar

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
)

// bcryptStart begins a reference that is none: a password hash without quotes.
const bcryptStart = "2a$"

// reference puts what the name of a reference stands for.
func (p *parser) reference(name string) error {
	pos := p.at(len(name))
	if strings.HasPrefix(name, bcryptStart) {
		return p.put(&Value{Kind: String, Str: "$" + name, Pos: pos, size: 1})
	}
	for i := len(p.frames) - 1; i >= 0; i-- {
		if v := p.frames[i].table.Get(name); v != nil {
			v.Used = true
			use := *v
			use.Pos, use.Used = pos, false
			return p.put(&use)
		}
	}
	v, err := p.environment(name)
	if err != nil {
		return &Error{Pos: pos, err: err,
			Text: fmt.Sprintf("variable reference for '%s' on line %d could not be parsed: %s", name, pos.Line, err)}
	}
	if v == nil {
		return &Error{Pos: pos,
			Text: fmt.Sprintf("variable reference for '%s' on line %d can not be found", name, pos.Line)}
	}
	move(v, pos)
	return p.put(v)
}

// environment reads a variable of the environment as a value; nil if there is
// none, or if its text sets nothing.
func (p *parser) environment(name string) (*Value, error) {
	if p.resolved[name] {
		return nil, fmt.Errorf("variable reference cycle for '%s'", name)
	}
	p.resolved[name] = true
	defer delete(p.resolved, name)
	text, ok := p.LookupEnv(name)
	if !ok {
		return nil, nil
	}
	const key = "pk"
	src := key + "=" + text
	if len(src) > p.Limits.Bytes {
		return nil, fmt.Errorf("longer than %d bytes", p.Limits.Bytes)
	}
	sub := &parser{scanner: newScanner(src), shared: p.shared, dir: "."}
	root, err := sub.parse()
	if err != nil {
		return nil, err
	}
	return root.Get(key), nil
}

// move gives v and all in it the place of the reference that brought it.
func move(v *Value, pos Pos) {
	v.Pos = pos
	for _, e := range v.List {
		move(e, pos)
	}
	for _, e := range v.Map.All() {
		move(e, pos)
	}
}

// include reads the name of a file behind the keyword and puts its keys here.
func (p *parser) include() error {
	p.skipBlanks()
	p.begin()
	r := p.next()
	const expected = "Expected include value but found "
	switch {
	case r == '\'' || r == '"':
		p.begin()
		return p.includeQuoted(r)
	case r == '[':
		return p.fail(expected + "start of an array")
	case r == '{':
		return p.fail(expected + "start of a map")
	case r == '(':
		return p.fail(expected + "start of a block")
	case unicode.IsDigit(r) || r == '-':
		return p.fail(expected + "start of a number")
	case r == '\\':
		return p.fail(expected + "escape sequence")
	case isNewline(r):
		return p.fail(expected + "new line")
	}
	p.backup()
	for {
		r := p.next()
		switch {
		case isNewline(r), isBlank(r), r == end, r == ';', r == '}':
			p.backup()
			return p.includeFile(p.text())
		case r == '\'':
			return p.includeUpTo()
		}
	}
}

func (p *parser) includeQuoted(quote rune) error {
	for {
		switch p.next() {
		case quote:
			return p.includeUpTo()
		case end:
			if quote == '"' {
				return p.fail("Unexpected EOF in double quoted include")
			}
			return p.fail("Unexpected EOF in quoted include")
		}
	}
}

// includeUpTo includes the file whose name ends before the quote just taken.
func (p *parser) includeUpTo() error {
	p.backup()
	name := p.text()
	p.next()
	return p.includeFile(name)
}

// includeFile puts the keys of the file with the given name here. The name is
// relative to the including file even if it begins with a slash.
func (p *parser) includeFile(name string) error {
	line := p.line()
	p.dangling = false
	refuse := func(err error) error {
		return &Error{Pos: Pos{p.file, line, p.start - p.lineStart(p.start)}, err: err,
			Text: fmt.Sprintf("error parsing include file '%s', %v", name, err)}
	}
	path := filepath.Join(p.dir, name)
	for _, open := range p.open {
		if filepath.Clean(open) == path {
			return refuse(errors.New("the file includes itself"))
		}
	}
	if len(p.open) >= p.Limits.Includes {
		return refuse(fmt.Errorf("more than %d files include each other", p.Limits.Includes))
	}
	t, err := p.parseFile(path)
	if err != nil {
		return refuse(err)
	}
	for key, v := range t.All() {
		p.keys = append(p.keys, heldKey{key, v.Pos.Line, v.Pos.Column})
		if err := p.put(v); err != nil {
			return err
		}
	}
	p.begin()
	return nil
}
