package grammar

import (
	"fmt"
	"iter"
	"strconv"
	"time"
)

// Kind is the type of a value.
type Kind uint8

// The kinds.
const (
	String Kind = iota + 1
	Bool
	Int
	Float
	Time
	List
	Map
)

var goTypes = [...]string{
	String: "string", Bool: "bool", Int: "int64", Float: "float64", Time: "time.Time",
	List: "[]interface {}", Map: "map[string]interface {}",
}

// String names the kind the way error messages of the reference do: as a Go type.
func (k Kind) String() string {
	if int(k) < len(goTypes) && goTypes[k] != "" {
		return goTypes[k]
	}
	return "nil"
}

// Pos is a place in a file.
type Pos struct {
	File   string
	Line   int // from 1
	Column int // bytes, from 0 on line 1 and from 1 on others
}

// String returns "file:line:column".
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Value is one value of the tree; the field of its Kind is set.
type Value struct {
	Kind Kind
	Pos  Pos
	// Used is set when a reference took this value: its key may then be a
	// name of the writer's own.
	Used bool

	Str   string
	Bool  bool
	Int   int64
	Float float64
	Time  time.Time
	List  []*Value
	Map   *Table

	size int // values in it when references are written out, itself included
}

// String writes the value for a message: scalars as they are, empty lists and
// maps as brackets, the others by type.
func (v *Value) String() string {
	switch v.Kind {
	case String:
		return v.Str
	case Bool:
		return strconv.FormatBool(v.Bool)
	case Int:
		return strconv.FormatInt(v.Int, 10)
	case Float:
		return fmt.Sprint(v.Float)
	case Time:
		return v.Time.String()
	case List:
		if len(v.List) == 0 {
			return "[]"
		}
	case Map:
		if v.Map.Len() == 0 {
			return "map[]"
		}
	}
	return v.Kind.String()
}

// Entry is a key of a map with its value.
type Entry struct {
	Key   string
	Value *Value
}

// Table is the content of a map in the order in which keys first appeared.
type Table struct {
	entries []Entry
	index   map[string]int
	size    int // values in it, references written out
}

// Len returns the number of keys.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.entries)
}

// Get returns the value of key, spelled exactly so, or nil.
func (t *Table) Get(key string) *Value {
	if t == nil {
		return nil
	}
	if i, ok := t.index[key]; ok {
		return t.entries[i].Value
	}
	return nil
}

// All ranges over the keys in order.
func (t *Table) All() iter.Seq2[string, *Value] {
	return func(yield func(string, *Value) bool) {
		if t == nil {
			return
		}
		for _, e := range t.entries {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}
}

// set gives key a value; a later one replaces an earlier one.
func (t *Table) set(key string, v *Value) {
	if i, ok := t.index[key]; ok {
		t.size += v.size - t.entries[i].Value.size
		t.entries[i].Value = v
		return
	}
	if t.index == nil {
		t.index = make(map[string]int)
	}
	t.index[key] = len(t.entries)
	t.entries = append(t.entries, Entry{key, v})
	t.size += v.size
}
