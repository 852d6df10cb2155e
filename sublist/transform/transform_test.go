package transform

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// six is a random source one can predict.
func six(n uint32) uint32 { return 6 % n }

func TestApply(t *testing.T) {
	check := func(source, destination, subject, want string) {
		t.Helper()
		tr, err := New(source, destination)
		if err != nil {
			t.Errorf("New(%q, %q): %v", source, destination, err)
			return
		}
		got, err := tr.Match(subject, six)
		if err != nil || got != want {
			t.Errorf("%q → %q of %q: %q, %v; want %q", source, destination, subject, got, err, want)
		}
	}
	check("foo", "bar", "foo", "bar")
	check("foo.*.*", "bar.$2.$1", "foo.a.b", "bar.b.a")
	check("foo.*.*", "bar.{{wildcard(2)}}.{{ Wildcard ( 1 ) }}", "foo.a.b", "bar.b.a")
	check("foo.*", "$JS.$1", "foo.a", "$JS.a")
	check("foo.*", "$0.$1", "foo.a", "foo.a")
	check("foo.>", "bar.>", "foo.a.b.c", "bar.a.b.c")
	check("foo.*.>", "bar.>", "foo.a.b.c", "bar.b.c")
	check(">", "p.>", "a.b", "p.a.b")
	check("", "p.>", "a.b", "p.a.b")
	check("a.>", ">", "a.b.c", "b.c")
	check(">", ">", "a.b", "a.b")
	check(">", ">", "a..b", "a..b")
	check("*.*", "{{partition(10)}}", "foo.bar", "6")
	check("*.*", "{{partition(10,1)}}.$1.$2", "foo.bar", "3.foo.bar")
	check("*.*", "{{partition(10, 2, 1)}}", "foo.bar", "2")
	check("*", "{{partition(0)}}.{{random(0)}}", "x", "0.0")
	check("foo", "b.{{partition(10)}}", "foo", "b.3")
	check("*", "{{random(10)}}", "x", "6")
	check("*", "{{random(4)}}", "x", "2")
	check("*", "{{splitFromLeft(1,3)}}", "12345", "123.45")
	check("*", "{{SplitFromRight(1,3)}}", "12345", "12.345")
	check("*", "{{splitfromright(1,5)}}", "12345", "12345")
	check("*", "{{splitFromLeft(1,0)}}", "12345", "12345")
	check("*", "{{splitFromLeft(1,-2)}}", "12345", "12345")
	check("*", "{{sliceFromLeft(1,3)}}", "abcdefgh", "abc.def.gh")
	check("*", "{{sliceFromLeft(1,3)}}", "abcdef", "abc.def")
	check("*", "{{sliceFromRight(1,3)}}", "abcdefgh", "ab.cde.fgh")
	check("*", "{{sliceFromRight(1,3)}}", "abcdef", "abc.def")
	check("*", "{{left(1,2)}}.{{right(1,2)}}.{{left(1,9)}}", "abc", "ab.bc.abc")
	check("*", "x.{{split(1,-)}}", "a-b--c", "x.a.b.c")
	check("*", "x.{{split(1,-)}}", "-a-b-", "x.a.b")
	check("*", "x.{{split(1,-)}}", "--a", "x..a")
	check("*", "x.{{split(1,ab)}}", "1ab2", "x.1.2")
	check("*", "x.{{split(1,)}}", "héy", "x.h.é.y")
	check("*", "x{{wildcard(1)}}", "a", "x{{wildcard(1)}}")
}

func TestMatchErrors(t *testing.T) {
	tr, err := New("foo.*", "bar.$1")
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]error{
		"foo.*": ErrBadSubject, "foo.>": ErrBadSubject, "foo.": ErrBadSubject, "": ErrBadSubject,
		"foo": ErrNoTransforms, "foo.a.b": ErrNoTransforms, "bar.a": ErrNoTransforms,
	} {
		if _, err := tr.Match(subject, nil); err != want {
			t.Errorf("%q: %v, want %v", subject, err, want)
		}
	}
	if tr.Source() != "foo.*" || tr.Destination() != "bar.$1" || !tr.Matches([]byte("foo.x")) || tr.Matches([]byte("foo")) {
		t.Error("accessors")
	}
}

// TestErrors holds the texts that operators see, taken from the server.
func TestErrors(t *testing.T) {
	check := func(source, destination, want string) {
		t.Helper()
		err := Validate(source, destination)
		if fmt.Sprint(err) != want {
			t.Errorf("Validate(%q, %q):\n got %v\nwant %s", source, destination, err, want)
		}
		if strings.HasPrefix(want, "invalid mapping destination") != errors.Is(err, ErrDestination) {
			t.Errorf("Validate(%q, %q): wrong class", source, destination)
		}
	}
	const p = "invalid mapping destination: "
	check("a", "", "<nil>")
	check("a.*", "b", "<nil>")
	check("a.*", "b.{{}}", "<nil>")
	check("a.*.*", "b.x{{wildcard(1)}}", "<nil>")
	check("a.*.*", "b.{{wildcard(0)}}", "<nil>")
	check("a.*.*", "b.{{left(1,2)}}", "<nil>")
	check("a.>", "b.{{partition(3)}}.>", "<nil>")
	check("a..b", "b", "invalid subject")
	check("a.*", "b.*", "invalid subject")
	check("a.*", "b.>", "invalid subject")
	check("a.>", "b", "invalid subject")
	check("a.*", "b..c", p+"invalid transform")
	check("a.>", "b.>.c", p+"invalid transform in c")
	check("a.*", "b c.$1", p+"invalid transform")
	check("a.*", "$2", p+"wildcard index out of range in $2: [2]")
	check("a.*.*", "b.{{wildcard(3)}}", p+"wildcard index out of range in {{wildcard(3)}}: [3]")
	check("a.>", "b.{{wildcard(1)}}.>", p+"wildcard index out of range in {{wildcard(1)}}: [1]")
	check("a.b", "b.{{wildcard(1)}}", p+"wildcard index out of range in {{wildcard(1)}}")
	check("a.b", "b.$1", p+"wildcard index out of range in $1")
	check("a.*", "b.{{WILDCARD(1)}}", p+"unknown function in {{WILDCARD(1)}}")
	check("a.*", "b.{{foo(1)}}", p+"unknown function in {{foo(1)}}")
	check("a.*", "b.{{{}}}", p+"unknown function in {{{}}}")
	check("a.*", "{{wildcard()}}", p+"not enough arguments passed to the function in {{wildcard()}}")
	check("a.*", "{{wildcard(1,2)}}", p+"too many arguments passed to the function in {{wildcard(1,2)}}")
	check("a.*", "{{wildcard(x)}}", p+"function argument is invalid or in the wrong format in {{wildcard(x)}}")
	check("a.*", "{{partition()}}", p+"function argument is invalid or in the wrong format in {{partition()}}")
	check("a.*", "{{partition(99999999999)}}", p+"function argument is invalid or in the wrong format in {{partition(99999999999)}}")
	check("a.*", "{{partition(1,x)}}", p+"function argument is invalid or in the wrong format in {{partition(1,x)}}")
	check("a.*", "{{partition(1,2)}}", p+"wildcard index out of range in {{partition(1,2)}}: [2]")
	check("a.*", "{{splitFromLeft(1)}}", p+"not enough arguments passed to the function in {{splitFromLeft(1)}}")
	check("a.*", "{{splitFromLeft(1,2,3)}}", p+"too many arguments passed to the function in {{splitFromLeft(1,2,3)}}")
	check("a.*", "{{splitFromLeft(x,2)}}", p+"function argument is invalid or in the wrong format in {{splitFromLeft(x,2)}}")
	check("a.*", "{{split(1)}}", p+"not enough arguments passed to the function in {{split(1)}}")
	check("a.*", `{{split(1,"x y")}}`, p+`function argument is invalid or in the wrong format in {{split(1,"x y")}}`)
	check("a.*", "{{random()}}", p+"function argument is invalid or in the wrong format in {{random()}}")
	check("a.*", "{{random(1,2)}}", p+"not enough arguments passed to the function in {{random(1,2)}}")

	strict := func(source, destination, want string) {
		t.Helper()
		if _, err := NewStrict(source, destination); fmt.Sprint(err) != want {
			t.Errorf("NewStrict(%q, %q): %v", source, destination, err)
		}
	}
	strict("a.*.*", "b.$1.$2", "<nil>")
	strict("a.*.*", "b.$1", p+"not using all of the token wildcard(s) in b.$1")
	strict("a.*", "b.{{partition(1,1)}}", p+"the only mapping function allowed for import transforms is {{Wildcard()}} in {{partition(1,1)}}")
}

func TestReverse(t *testing.T) {
	check := func(source, destination, subject string) {
		t.Helper()
		tr, err := NewStrict(source, destination)
		if err != nil {
			t.Fatal(err)
		}
		back, err := tr.Reverse()
		if err != nil {
			t.Fatalf("reverse of %q → %q: %v", source, destination, err)
		}
		there := tr.Apply(nil, []byte(subject), nil)
		if again, err := back.Match(string(there), nil); err != nil || again != subject {
			t.Errorf("%q → %q → %q, %v", subject, there, again, err)
		}
	}
	check("a.b", "x.y", "a.b")
	check("foo.*.*", "bar.$2.$1", "foo.1.2")
	check("foo.*.*.*", "$2.x.$3.{{wildcard(1)}}", "foo.1.2.3")
	check("foo.*.>", "bar.$1.>", "foo.1.2.3")
	loose, _ := New("a.*", "$1.$1")
	if _, err := loose.Reverse(); !errors.Is(err, ErrUnusedWildcards) {
		t.Error(err)
	}
	loose, _ = New("a.*.*", "b.$1")
	if _, err := loose.Reverse(); !errors.Is(err, ErrUnusedWildcards) {
		t.Error(err)
	}
	loose, _ = New("a.*", "b.{{left(1,1)}}")
	if _, err := loose.Reverse(); !errors.Is(err, ErrNotForImport) {
		t.Error(err)
	}
}

func TestPlaceholders(t *testing.T) {
	if got := WithPlaceholders("a.*.b.*.>"); got != "a.$1.b.$2.>" {
		t.Error(got)
	}
	pattern, marks := WithWildcards("foo.$2.{{wildcard(1)}}.$x.{{left(1,1)}}")
	if pattern != "foo.*.*.$x.{{left(1,1)}}" || strings.Join(marks, " ") != "$2 {{wildcard(1)}}" {
		t.Error(pattern, marks)
	}
}

func TestApplyDoesNotAllocate(t *testing.T) {
	tr, err := New("a.*.*.>", "{{partition(8,1,2)}}.$2.{{split(1,-)}}.{{sliceFromLeft(2,2)}}.>")
	if err != nil {
		t.Fatal(err)
	}
	var ms Mappings
	if err := ms.Add("a.*.>", Destination{Subject: "b.$1.>", Weight: 40}); err != nil {
		t.Fatal(err)
	}
	subject, dst := []byte("a.x-y.12345.c.d"), make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		dst = tr.Apply(dst[:0], subject, six)
		dst, _ = ms.Map(dst[:0], subject, "", six)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzTransform shows that nothing a configuration or a client says makes a
// transform panic (I2), and that what is accepted keeps its promises.
func FuzzTransform(f *testing.F) {
	f.Add("a.*.*", "b.$1.{{split(2,-)}}.{{partition(5)}}", "a.x.y-z")
	f.Add("a.>", "{{random(-5)}}.>", "a.b")
	f.Add("*", "{{partition(-1,1)}}.{{left(1,2147483647)}}", "é.")
	f.Add("foo", "{{partition(3)}}.$x", "foo")
	f.Fuzz(func(t *testing.T, source, destination, subject string) {
		tr, err := New(source, destination)
		if err != nil {
			return
		}
		random := func(n uint32) uint32 { return n - 1 }
		out := tr.Apply([]byte("keep"), []byte(subject), random)
		if !strings.HasPrefix(string(out), "keep") {
			t.Fatal("prefix lost")
		}
		if got, err := tr.Match(subject, random); err == nil && got != string(out[4:]) {
			t.Fatalf("Match %q, Apply %q", got, out[4:])
		}
		if st, err := NewStrict(source, destination); err == nil {
			if back, err := st.Reverse(); err == nil {
				if got, err := st.Match(subject, nil); err == nil {
					if again, err := back.Match(got, nil); err == nil && again != subject {
						t.Fatalf("%q → %q → %q", subject, got, again)
					}
				}
			}
		}
		_ = Validate(source, destination)
		var ms Mappings
		if ms.Add(source, Destination{Subject: destination, Weight: 50}) == nil {
			ms.Map(nil, []byte(subject), "", random)
		}
	})
}
