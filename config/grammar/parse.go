package grammar

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Limits bound what a hostile file can cost. Zero fields are the defaults.
type Limits struct {
	Bytes    int // of one file; 16 MiB
	Depth    int // of maps and lists in each other; 1000
	Values   int // in the tree, references written out; 4 million
	Includes int // files open inside each other; 64
}

func (l *Limits) complete() {
	for _, f := range []struct {
		v    *int
		deft int
	}{{&l.Bytes, 16 << 20}, {&l.Depth, 1000}, {&l.Values, 4 << 20}, {&l.Includes, 64}} {
		if *f.v == 0 {
			*f.v = f.deft
		}
	}
}

// Options are the surroundings of a parse. The zero value is the machine's.
type Options struct {
	ReadFile  func(path string) ([]byte, error) // nil is os.ReadFile
	LookupEnv func(name string) (string, bool)  // nil is os.LookupEnv
	Limits    Limits
}

// Error is a file that cannot be read into a tree.
type Error struct {
	Pos  Pos    // of the trouble; of the include for one that fails as a whole
	Text string // the whole message, as the reference words it
	err  error
}

func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause when there is one, such as that of a missing include.
func (e *Error) Unwrap() error { return e.err }

// ParseFile reads the file at path. Errors are *Error, or ReadFile's for path.
func ParseFile(path string, o Options) (*Table, error) {
	s := newShared(o)
	return s.parseFile(path)
}

// Parse reads src as the content of a file at path, which need not exist.
// Includes are looked for next to it.
func Parse(src, path string, o Options) (*Table, error) {
	s := newShared(o)
	return s.parse(src, path)
}

// shared is what the files of one parse have in common.
type shared struct {
	Options
	open     []string        // files being read, the outermost first
	resolved map[string]bool // variables of the environment being read
}

func newShared(o Options) *shared {
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	o.Limits.complete()
	return &shared{Options: o, resolved: make(map[string]bool)}
}

func (s *shared) parseFile(path string) (*Table, error) {
	src, err := s.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return s.parse(string(src), path)
}

func (s *shared) parse(src, path string) (*Table, error) {
	if len(src) > s.Limits.Bytes {
		return nil, &Error{Pos: Pos{File: path}, Text: fmt.Sprintf("%s: file is larger than %d bytes", path, s.Limits.Bytes)}
	}
	if path != "" {
		s.open = append(s.open, path)
		defer func() { s.open = s.open[:len(s.open)-1] }()
	}
	p := &parser{scanner: newScanner(src), shared: s, file: path, dir: filepath.Dir(path)}
	return p.parse()
}

// parser reads one file.
type parser struct {
	scanner
	*shared
	file string // named in positions
	dir  string // where includes are

	frames []frame // open containers, the file itself first
	// keys wait for their values. They are not tied to the container they stand
	// in: a map that ends while a key waits becomes the value of that key.
	keys []heldKey
	// dangling is set between a key and the next thing that is not a key.
	dangling bool
	// saved is the bytes that escapes saved in a string that the file's end cut.
	saved int
}

// frame is an open map or list.
type frame struct {
	table *Table
	list  []*Value
	size  int // of list
}

type heldKey struct {
	name         string
	line, column int
}

// errEnd ends a parse without an error: the file is over.
var errEnd = errors.New("end of file")

func (p *parser) parse() (*Table, error) {
	root := new(Table)
	p.frames = append(p.frames, frame{table: root})
	if err := p.whole(); err != nil && err != errEnd {
		return nil, err
	}
	// A bracket at the end may close one that opened the file.
	if p.dangling && p.keys[len(p.keys)-1].name != "}" {
		pos := Pos{p.file, p.line(), p.start - p.lineStart(p.start) + p.saved}
		return nil, &Error{Pos: pos, Text: fmt.Sprintf("config is invalid (%s)", pos)}
	}
	return root, nil
}

// hold remembers the item just read as a key.
func (p *parser) hold() {
	name := p.text()
	line, column := p.place(len(name))
	p.keys = append(p.keys, heldKey{name, line, column})
	p.dangling = true
}

// enter opens a map, or a list if t is nil.
func (p *parser) enter(t *Table) error {
	if len(p.frames) > p.Limits.Depth {
		return p.fail("Nested deeper than %d", p.Limits.Depth)
	}
	p.dangling = false
	p.frames = append(p.frames, frame{table: t})
	return nil
}

// leave ends the innermost container and gives it its place.
func (p *parser) leave() error {
	f := p.frames[len(p.frames)-1]
	p.frames = p.frames[:len(p.frames)-1]
	p.begin()
	v := &Value{Pos: p.at(0), size: 1}
	if f.table != nil {
		v.Kind, v.Map = Map, f.table
		v.size += f.table.size
	} else {
		v.Kind, v.List = List, f.list
		v.size += f.size
	}
	return p.put(v)
}

// at is the place of an item of the given length that ends here.
func (p *parser) at(length int) Pos {
	line, column := p.place(length)
	return Pos{p.file, line, column}
}

// put adds v to the innermost container, in a map under the key that waits.
func (p *parser) put(v *Value) error {
	p.dangling = false
	f := &p.frames[len(p.frames)-1]
	var size int
	if f.table == nil {
		f.list = append(f.list, v)
		f.size += v.size
		size = f.size
	} else {
		key := p.keys[len(p.keys)-1]
		p.keys = p.keys[:len(p.keys)-1]
		v.Pos.Line, v.Pos.Column = key.line, key.column
		f.table.set(key.name, v)
		size = f.table.size
	}
	if size > p.Limits.Values {
		return p.fail("More than %d values", p.Limits.Values)
	}
	return nil
}
