package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"peregrine/config/grammar"
)

// Reload says what a reload does with a changed option.
type Reload uint8

// The reload rules.
const (
	// Restart options are refused when they change.
	Restart Reload = iota
	// Live options take effect at once.
	Live
	// Partly live options have a rule of their own, told in Spec.ReloadNote.
	Partly
)

func (r Reload) String() string { return [...]string{"no", "yes", "partly"}[r] }

// Spec is what the table says of an option besides its name and type.
type Spec struct {
	Aliases []string
	// Default is the value, as a file would write it, that stands in for one that
	// is not set. Zero is "not set" too unless ZeroCounts.
	Default    string
	ZeroCounts bool
	Unset      string // in words: what holds if it is not set, where no value says it
	Range      string // in words: which values are accepted; empty is all of the type

	Reload     Reload
	ReloadNote string
	Field      string // the name that the refusal of a reload uses
	Log        string // the log line of a reload, with a verb for the new value

	Flags []string // spellings on the command line, without dashes
	Varz  string   // the field of /varz that shows it
	// Use is the field of the block's type, or the method, that the program asks.
	// "Type.Field" is one of another type. Else
	// Waiting names the part of the server that is missing, or Ignored says why
	// nobody reads it.
	Use     string
	Waiting Part
	Ignored string // why it has no effect
	Aside   bool   // alone it asks for nothing: it tunes what other keys ask for
	Secret  bool   // never shown
	Doc     string
}

// Option is a row of the table.
type Option struct {
	Path string // keys from the top, joined by dots; "[]" stands for any item of a list
	Type string // in words
	Spec

	owner string // the type that its block goes into
	get   func(*Options) any
	set   func(*Options, string) error
	keys  int // number of options inside, all levels
}

// Name is the last key of the path.
func (o *Option) Name() string { return o.Path[strings.LastIndexByte(o.Path, '.')+1:] }

// Get returns what the option is set to in opts; ok is false for an option
// inside a list, a block as a whole, and one of a block that is absent.
func (o *Option) Get(opts *Options) (value any, ok bool) {
	if o.get == nil {
		return nil, false
	}
	value = o.get(opts)
	return value, value != nil
}

// entry is an option of a block whose content goes into a T.
type entry[T any] struct {
	Spec
	name string
	kind string
	read func(r *reader, k key, into *T)
	get  func(*T) any                                     // nil where no single value says it
	set  func(*T, string) error                           // from the text of a flag; nil without one
	rows func(path string, at func(*Options) *T) []Option // options inside
	// down completes what is inside.
	down func(r *reader, path string, into *T)
}

// key is a key with its value.
type key struct {
	name string // as written
	path string // in the table; empty in a list
	*grammar.Value
}

// block is the table of the keys of a map.
type block[T any] struct {
	entries []entry[T]
	// unknown is the message for a key that is not in the table.
	unknown string
	// strict refuses unknown keys even if a reference uses them.
	strict bool

	once  sync.Once
	index map[string]*entry[T]
}

// find returns the entry of a key in any case.
func (b *block[T]) find(name string) *entry[T] {
	b.once.Do(func() {
		b.index = make(map[string]*entry[T])
		for i := range b.entries {
			e := &b.entries[i]
			b.index[e.name] = e
			for _, alias := range e.Aliases {
				b.index[alias] = e
			}
		}
	})
	return b.index[strings.ToLower(name)]
}

// read reads the keys of t into v. path is where t is in the table, empty if
// it is in a list.
func (b *block[T]) read(r *reader, t *grammar.Table, path string, into *T) {
	for name, v := range t.All() {
		e := b.find(name)
		if e == nil {
			if v.Used && !b.strict {
				continue
			}
			format := b.unknown
			if format == "" {
				format = "unknown field %q"
			}
			r.errorf(v, format, name)
			continue
		}
		k := key{name: name, Value: v}
		if path != "" {
			k.path = join(path, e.name)
			r.where[k.path] = v.Pos
		}
		e.read(r, k, into)
	}
}

// join extends a path. The top is ".".
func join(path, name string) string {
	if path == "." {
		return name
	}
	return path + "." + name
}

// complete gives what is not set its default.
func (b *block[T]) complete(r *reader, path string, into *T) {
	for i := range b.entries {
		e := &b.entries[i]
		// Off is what a switch is anyway, and some switches set others.
		if e.Default != "" && e.Default != "false" && e.get != nil && b.isUnset(r, e, path, into) {
			e.read(r, key{name: e.name, Value: literal(e.Default)}, into)
		}
		if e.down != nil {
			at := ""
			if path != "" {
				at = join(path, e.name)
			}
			e.down(r, at, into)
		}
	}
}

func (b *block[T]) isUnset(r *reader, e *entry[T], path string, into *T) bool {
	if e.ZeroCounts && path != "" {
		_, set := r.where[join(path, e.name)]
		return !set
	}
	v := reflect.ValueOf(e.get(into))
	return !v.IsValid() || v.IsZero()
}

// literal reads the text of a default.
func literal(text string) *grammar.Value {
	t, err := grammar.Parse("v = "+text, "", grammar.Options{})
	if err != nil {
		panic(fmt.Sprintf("config: default %q: %v", text, err))
	}
	return t.Get("v")
}

// rows lists the options of the block and those inside them. at finds the
// block's content, nil if it is absent; at is nil inside lists.
func (b *block[T]) rows(prefix string, at func(*Options) *T) []Option {
	var all []Option
	for i := range b.entries {
		e := &b.entries[i]
		o := Option{Path: prefix + e.name, Type: e.kind, Spec: e.Spec, owner: reflect.TypeFor[T]().Name()}
		if at != nil && e.get != nil {
			o.get = func(opts *Options) any {
				if t := at(opts); t != nil {
					return e.get(t)
				}
				return nil
			}
		}
		if at != nil && e.set != nil {
			o.set = func(opts *Options, text string) error { return e.set(at(opts), text) }
		}
		var inside []Option
		if e.rows != nil {
			inside = e.rows(o.Path, at)
		}
		o.keys = len(inside)
		all = append(append(all, o), inside...)
	}
	return all
}

// Table returns all options in the order of the documentation, the keys of a
// block behind it.
func Table() []Option {
	return topBlock.rows("", func(o *Options) *Options { return o })
}

// byPath finds rows by path.
func byPath() map[string]*Option {
	rows := Table()
	m := make(map[string]*Option, len(rows))
	for i := range rows {
		m[rows[i].Path] = &rows[i]
	}
	return m
}
