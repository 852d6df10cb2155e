package grammar

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	corpus, err := filepath.Glob("../testdata/corpus/grammar-*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range corpus {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	o := Options{
		ReadFile:  func(string) ([]byte, error) { return []byte("included: 1"), nil },
		LookupEnv: func(name string) (string, bool) { return "[v, {k: $" + name + "}]", name == "X" },
		Limits:    Limits{Bytes: 1 << 16, Depth: 50, Values: 1 << 14},
	}
	f.Fuzz(func(t *testing.T, src string) {
		got, err := Parse(src, "f.conf", o)
		again, errAgain := Parse(src, "f.conf", o)
		if err != nil {
			if errAgain == nil || err.Error() != errAgain.Error() || err.Error() == "" {
				t.Fatalf("%v, then %v", err, errAgain)
			}
			return
		}
		if tree(got) != tree(again) {
			t.Fatalf("%s\nthen\n%s", tree(got), tree(again))
		}
		places(t, got, strings.Count(src, "\n")+1)
		if text, ok := written(got); ok {
			back, err := Parse(text, "", o)
			if err != nil || Digest(back) != Digest(got) {
				t.Fatalf("%q\n%v", text, err)
			}
		}
	})
}

// places checks that all values are somewhere in the file.
func places(t *testing.T, m *Table, lines int) {
	for key, v := range m.All() {
		place(t, key, v, lines)
	}
}

func place(t *testing.T, key string, v *Value, lines int) {
	if v.Pos.Line < 1 || v.Pos.Line > lines || v.Pos.Column < 0 {
		t.Fatalf("%s is at %s of %d lines", key, v.Pos, lines)
	}
	places(t, v.Map, lines)
	for _, e := range v.List {
		place(t, key, e, lines)
	}
}

// written writes a tree as a file; false if a key has no spelling.
func written(m *Table) (string, bool) {
	var b strings.Builder
	for key, v := range m.All() {
		quote := `"`
		if strings.Contains(key, quote) {
			quote = "'"
		}
		if strings.Contains(key, quote) || strings.Contains(key, "\x00") {
			return "", false
		}
		text, ok := spelled(v)
		if !ok {
			return "", false
		}
		fmt.Fprintf(&b, "%s%s%s: %s\n", quote, key, quote, text)
	}
	return b.String(), true
}

func spelled(v *Value) (string, bool) {
	switch v.Kind {
	case String:
		var b strings.Builder
		for i := range len(v.Str) {
			fmt.Fprintf(&b, `\x%02x`, v.Str[i])
		}
		return `"` + b.String() + `"`, true
	case Float:
		text := strconv.FormatFloat(v.Float, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text, true
	case Time:
		return v.Time.Format("2006-01-02T15:04:05Z"), true
	case Map:
		text, ok := written(v.Map)
		return "{\n" + text + "}", ok
	case List:
		var b strings.Builder
		for _, e := range v.List {
			text, ok := spelled(e)
			if !ok {
				return "", false
			}
			b.WriteString(text + " ,")
		}
		return "[" + b.String() + "]", true
	}
	return v.String(), true
}
