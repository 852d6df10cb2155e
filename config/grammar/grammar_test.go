package grammar

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"testing"
)

// tree writes a tree with the place of each value.
func tree(t *Table) string {
	var b strings.Builder
	for key, v := range t.All() {
		fmt.Fprintf(&b, "%s=%s ", key, node(v))
	}
	return strings.TrimSpace(b.String())
}

func node(v *Value) string {
	text := v.String()
	switch v.Kind {
	case Map:
		text = "{" + tree(v.Map) + "}"
	case List:
		var items []string
		for _, e := range v.List {
			items = append(items, node(e))
		}
		text = "[" + strings.Join(items, " ") + "]"
	case String:
		text = strconv.Quote(text)
	}
	used := ""
	if v.Used {
		used = "*"
	}
	return fmt.Sprintf("%s@%d:%d%s", text, v.Pos.Line, v.Pos.Column, used)
}

func TestTrees(t *testing.T) {
	env := map[string]string{"LIST": "[a, b]", "NUM": "5k", "REF": "$NUM"}
	for _, c := range [][2]string{
		{"a: 1", `a=1@1:0`},
		{"a: 1\n b: x", `a=1@1:0 b="x"@2:2`},
		{"a {b: 1, c {d: 2}}", `a={b=1@1:3 c={d=2@1:12}@1:9}@1:0`},
		{"a [1, x, 'y', \"z\"]", `a=[1@1:3 "x"@1:6 "y"@1:10 "z"@1:15]@1:0`},
		{"a [\n {b: 1}\n [x]\n]", `a=[{b=1@2:3}@2:8 ["x"@3:3]@3:5]@1:0`},
		{"\"a\": 1\n'b' 2", `a=1@1:1 b=2@2:2`},
		{"a 1k; b 1kb; c 1MiB; d -2", `a=1000@1:0 b=1024@1:6 c=1048576@1:13 d=-2@1:21`},
		{"a yes, b OFF, c tru", `a=true@1:0 b=false@1:7 c="tru"@1:14`},
		{"a 1.5\nb 1.2.3.4:5", `a=1.5@1:0 b="1.2.3.4:5"@2:1`},
		{"a 2016-05-04T18:53:41Z", `a=2016-05-04 18:53:41 +0000 UTC@1:0`},
		{`a ["x\ty\x41"]`, `a=["x\tyA"@1:8]@1:0`},
		{"a (\nb\n)\nc 1", `a="\nb\n"@1:0 c=1@4:1`},
		{"a 1\na 2", `a=2@2:1`},
		{"a 1\nb $a", `a=1@1:0* b=1@2:1`},
		{"a 1\nm { a 2, b $a }\nc $a", `a=1@1:0* m={a=2@2:5* b=2@2:10}@2:1 c=1@3:1`},
		{"a $LIST", `a=["a"@1:3 "b"@1:3]@1:0`},
		{"a $REF", `a=5000@1:0`},
		{"a $2a$11$x", `a="$2a$11$x"@1:0`},
		{"{a: 1}", `a=1@1:1`},
		{"a 1 }", `a=1@1:0`},
		{"a {b }", `b={}@1:3`},
		{"a 1kbb\nb 2", `b=2@2:1`},
		{"a [1,2]", ``},
		{"a 1\x00b 2", `a=1@1:0 b=2@1:4`},
	} {
		got, err := Parse(c[0], "", Options{LookupEnv: func(name string) (string, bool) { s, ok := env[name]; return s, ok }})
		if c[1] == "" {
			if err == nil {
				t.Errorf("%q: %s", c[0], tree(got))
			}
			continue
		}
		if err != nil || tree(got) != c[1] {
			t.Errorf("%q: %s, %v", c[0], tree(got), err)
		}
	}
}

// TestErrors: the text of the reference, and the place it leaves out.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		src, text string
		line, col int
	}{
		{"a:\nb", "Parse error on line 2: 'Expected value but found new line'", 2, 1},
		{"a {\n b 1", `Parse error on line 2: 'Expected a map value terminator "," or a map terminator "}", but got '` + "\x00" + `' instead.'`, 2, 5},
		{"a 1\nb 99999999999999999999", "integer '99999999999999999999' is out of the range", 2, 3},
		{"x 1\nfoo", "config is invalid (f.conf:2:4)", 2, 4},
		{"a $NOPE", "variable reference for 'NOPE' on line 1 can not be found", 1, 3},
	} {
		_, err := Parse(c.src, "f.conf", Options{LookupEnv: func(string) (string, bool) { return "", false }})
		var e *Error
		if !errors.As(err, &e) || e.Error() != c.text || e.Pos.Line != c.line {
			t.Errorf("%q: %v %+v", c.src, err, e)
		}
	}
}

// files are an environment of included files.
type files map[string]string

func (f files) options() Options {
	return Options{ReadFile: func(path string) ([]byte, error) {
		if text, ok := f[path]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}}
}

func TestIncludes(t *testing.T) {
	f := files{
		"d/main":  "a 1\ninclude sub/x\nm { include 'sub/y' }\n",
		"d/sub/x": "b 2\ninclude y\n",
		"d/sub/y": "c 3\n",
		"loop":    "include loop2\n", "loop2": "a 1\ninclude ./loop\n",
		"gone": "include none\n",
	}
	got, err := ParseFile("d/main", f.options())
	if err != nil || tree(got) != "a=1@1:0 b=2@1:0 c=3@1:0 m={c=3@1:0}@3:1" {
		t.Errorf("%s, %v", tree(got), err)
	}
	if file := got.Get("c").Pos.File; file != "d/sub/y" {
		t.Errorf("c is in %s", file)
	}
	if _, err := ParseFile("loop", f.options()); err == nil ||
		err.Error() != "error parsing include file 'loop2', error parsing include file './loop', the file includes itself" {
		t.Error(err)
	}
	if _, err := ParseFile("gone", f.options()); !errors.Is(err, fs.ErrNotExist) ||
		err.Error() != "error parsing include file 'none', open none: file does not exist" {
		t.Error(err)
	}
}

// TestLimits: nothing that a file asks for is without bounds.
func TestLimits(t *testing.T) {
	deep := strings.Repeat("[", 2000)
	bomb := "a [" + strings.Repeat("x,", 100) + "]\n"
	for i := range 20 {
		ref := fmt.Sprintf("$%c", 'a'+i)
		bomb += fmt.Sprintf("%c [%s]\n", 'b'+i, strings.Repeat(ref+",", 100))
	}
	chain := files{}
	for i := range 100 {
		chain[fmt.Sprint("f", i)] = fmt.Sprintf("include f%d\n", i+1)
	}
	for name, src := range map[string]string{
		"depth of lists": "a " + deep, "depth of maps": strings.Repeat("a {", 2000), "depth of braces": strings.Repeat("{", 2000),
		"values": bomb, "bytes": "a " + strings.Repeat("x", 17<<20), "includes": "include f0\n",
	} {
		if _, err := Parse(src, "main", chain.options()); err == nil {
			t.Errorf("no limit on %s", name)
		}
	}
}

func TestReferenceCycle(t *testing.T) {
	env := map[string]string{"A": "$B", "B": "[$A]"}
	_, err := Parse("x $A", "", Options{LookupEnv: func(name string) (string, bool) { s, ok := env[name]; return s, ok }})
	if err == nil || !strings.Contains(err.Error(), "variable reference cycle for 'A'") {
		t.Error(err)
	}
}

func TestDigest(t *testing.T) {
	a, err := Parse("b: 1 # x\na { c: [x, 2.5 ] }\n", "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse("{\"a\": {\"c\": [\"x\", 2.5]}, \"b\": 1}", "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	// The hash of {"a":{"c":["x",2.5]},"b":1} and a line feed.
	const want = "sha256:3cfb5de248432ac3015794a37c25caaaa6cdafc04da84341da7ba0cf0a1147ef"
	if Digest(a) != want || Digest(b) != want {
		t.Errorf("%s %s", Digest(a), Digest(b))
	}
}
