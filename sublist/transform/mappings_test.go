package transform

import (
	"fmt"
	"testing"

	"peregrine/internal/seeds"
)

func TestMappingsChoose(t *testing.T) {
	var ms Mappings
	add := func(source string, d ...Destination) {
		t.Helper()
		if err := ms.Add(source, d...); err != nil {
			t.Fatal(err)
		}
	}
	pick := func(n uint32) Random {
		return func(below uint32) uint32 {
			if below != 100 {
				t.Errorf("asked for a number below %d", below)
			}
			return n
		}
	}
	check := func(subject, cluster string, n uint32, want string) {
		t.Helper()
		got, mapped := ms.Map([]byte("<"), []byte(subject), cluster, pick(n))
		if string(got) != "<"+want || !mapped {
			t.Errorf("%q in %q with %d: %q %v, want %q", subject, cluster, n, got, mapped, want)
		}
	}
	add("one", Destination{Subject: "uno", Weight: 100})
	check("one", "", 99, "uno")
	// The remainder keeps the subject; weights are tried from the lightest.
	add("foo.*", Destination{Subject: "a.$1", Weight: 20}, Destination{Subject: "b.$1", Weight: 10})
	check("foo.x", "", 0, "b.x")
	check("foo.x", "", 9, "b.x")
	check("foo.x", "", 10, "a.x")
	check("foo.x", "", 29, "a.x")
	check("foo.x", "", 30, "foo.x")
	check("foo.x", "", 99, "foo.x")
	// With the source among the destinations it is lost.
	add("loss", Destination{Subject: "loss", Weight: 30})
	check("loss", "", 29, "loss")
	check("loss", "", 30, "")
	// Clusters.
	add("c.*", Destination{Subject: "east.$1", Weight: 100, Cluster: "east"},
		Destination{Subject: "west.$1", Weight: 50, Cluster: "west"},
		Destination{Subject: "rest.$1", Weight: 100})
	check("c.1", "east", 0, "east.1")
	check("c.1", "west", 49, "west.1")
	check("c.1", "west", 50, "c.1")
	check("c.1", "north", 0, "rest.1")
	check("c.1", "", 0, "rest.1")
	add("only.*", Destination{Subject: "east.$1", Weight: 100, Cluster: "east"})
	check("only.1", "west", 0, "only.1")

	if got, mapped := ms.Map(nil, []byte("nothing"), "", nil); mapped || got != nil {
		t.Errorf("%q %v", got, mapped)
	}
	// The first that matches wins; a source added again stays where it was.
	add("foo.x", Destination{Subject: "late", Weight: 100})
	check("foo.x", "", 99, "foo.x")
	add("one", Destination{Subject: "eins", Weight: 100})
	check("one", "", 0, "eins")
	if ms.Len() != 6 || !ms.Remove("foo.*") || ms.Remove("foo.*") || ms.Len() != 5 {
		t.Error("length")
	}
	check("foo.x", "", 99, "late")
	var sources []string
	ms.Sources(func(s string) { sources = append(sources, s) })
	if fmt.Sprint(sources) != "[one loss c.* only.* foo.x]" {
		t.Error(sources)
	}
}

// TestLiteralPartition holds the server's habit of hashing nothing for a literal
// source that is first in the list.
func TestLiteralPartition(t *testing.T) {
	var ms Mappings
	for _, s := range []string{"first", "second"} {
		if err := ms.Add(s, Destination{Subject: "p.{{partition(1000)}}", Weight: 100}); err != nil {
			t.Fatal(err)
		}
	}
	for subject, want := range map[string]string{
		"first":  fmt.Sprint("p.", fnvOffset%1000),
		"second": fmt.Sprint("p.", fnv(fnvOffset, []byte("second"))%1000),
	} {
		if got, _ := ms.Map(nil, []byte(subject), "", nil); string(got) != want {
			t.Errorf("%q: %q, want %q", subject, got, want)
		}
	}
}

func TestMappingsErrors(t *testing.T) {
	check := func(want, source string, d ...Destination) {
		t.Helper()
		var ms Mappings
		if err := ms.Add(source, d...); fmt.Sprint(err) != want || ms.Len() != 0 {
			t.Errorf("%q: %v, want %s", source, err, want)
		}
	}
	check("invalid subject", "a..b", Destination{Subject: "x", Weight: 100})
	check("invalid subject", "a b", Destination{Subject: "x", Weight: 100})
	check("individual weights need to be <= 100", "a", Destination{Subject: "x", Weight: 101})
	check("total weight needs to be <= 100", "a", Destination{Subject: "x", Weight: 50}, Destination{Subject: "y", Weight: 51})
	check(`duplicate entry for "x"`, "a", Destination{Subject: "x", Weight: 50}, Destination{Subject: "x", Weight: 1, Cluster: "c"})
	check("invalid mapping destination: unknown function in {{foo()}}", "a", Destination{Subject: "{{foo()}}", Weight: 50})
	var ms Mappings
	if err := ms.Add("a", Destination{Subject: "x", Weight: 100}, Destination{Subject: "y", Weight: 100, Cluster: "c"}); err != nil {
		t.Error(err)
	}
}

// TestWeights draws from a seeded source.
func TestWeights(t *testing.T) {
	r := seeds.Rand(t, 1)
	var ms Mappings
	if err := ms.Add("s", Destination{Subject: "a", Weight: 50}, Destination{Subject: "b", Weight: 30}); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	const n = 50_000
	for range n {
		got, _ := ms.Map(nil, []byte("s"), "", r.Uint32N)
		counts[string(got)]++
	}
	for s, percent := range map[string]int{"a": 50, "b": 30, "s": 20} {
		if want := n * percent / 100; counts[s] < want*9/10 || counts[s] > want*11/10 {
			t.Errorf("%s: %d of %d", s, counts[s], n)
		}
	}
}
