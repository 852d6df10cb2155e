package grammar

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// Digest returns "sha256:" and the hash of the tree's JSON in hex, as the
// reference logs it: keys sorted, comments and layout without effect.
func Digest(t *Table) string {
	sum := sha256.New()
	// Everything in a tree has a JSON form and a hash takes every write.
	_ = json.NewEncoder(sum).Encode(plainMap(t))
	return fmt.Sprintf("sha256:%x", sum.Sum(nil))
}

func plainMap(t *Table) map[string]any {
	m := make(map[string]any, t.Len())
	for key, v := range t.All() {
		m[key] = Plain(v)
	}
	return m
}

// Plain returns v as the types that encoding/json decodes to, with integers as
// int64 and times as time.Time.
func Plain(v *Value) any {
	switch v.Kind {
	case String:
		return v.Str
	case Bool:
		return v.Bool
	case Int:
		return v.Int
	case Float:
		return v.Float
	case Time:
		return v.Time
	case Map:
		return plainMap(v.Map)
	}
	list := make([]any, len(v.List))
	for i, e := range v.List {
		list[i] = Plain(e)
	}
	return list
}
