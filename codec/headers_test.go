package codec

import (
	"bytes"
	"strings"
	"testing"
)

const sampleHeader = "NATS/1.0 503 No Responders\r\nA: 1\r\nKey:  two words \r\nkey:x\r\nEmpty:\r\nA: 2\r\nA-B: 3\r\n\r\n"

func TestHeaderStatus(t *testing.T) {
	check := func(hdr, code, description string) {
		t.Helper()
		c, d := HeaderStatus([]byte(hdr))
		if string(c) != code || string(d) != description {
			t.Errorf("%q: got %q %q", hdr, c, d)
		}
	}
	check(sampleHeader, "503", "No Responders")
	check("NATS/1.0 503\r\n\r\n", "503", "")
	check("NATS/1.0503  x\r\n\r\n", "503", "x")
	check("NATS/1.0   100\tIdle Heartbeat \r\n\r\n", "100", "Idle Heartbeat")
	check(HeaderEmpty, "", "")
	check("NATS/1.0 5\r\n\r\n", "", "")
	check("NATS/2.0 503\r\n\r\n", "", "")
	check("NATS/1.0 503", "", "")
	check("", "", "")
	got := AppendHeaderStatus(nil, 408, "Request\r\nTimeout")
	if string(got) != "NATS/1.0 408 Request  Timeout\r\n" {
		t.Errorf("%q", got)
	}
	if got := AppendHeaderEnd(AppendHeaderStatus(nil, 100, "")); string(got) != "NATS/1.0 100\r\n\r\n" {
		t.Errorf("%q", got)
	}
}

func TestHeaderGet(t *testing.T) {
	check := func(hdr, key, want string) {
		t.Helper()
		got := HeaderGet([]byte(hdr), key)
		if string(got) != want || got == nil {
			t.Errorf("%q in %q: got %q, want %q", key, hdr, got, want)
		}
	}
	none := func(hdr, key string) {
		t.Helper()
		if got := HeaderGet([]byte(hdr), key); got != nil {
			t.Errorf("%q in %q: got %q", key, hdr, got)
		}
	}
	check(sampleHeader, "A", "1")
	check(sampleHeader, "Key", "two words ")
	check(sampleHeader, "key", "x")
	check(sampleHeader, "Empty", "")
	check(sampleHeader, "A-B", "3")
	check("NATS/1.0\r\nA: cut", "A", "cut")
	check("NATS/1.0\r\nA:", "A", "")
	none(sampleHeader, "KEY")
	none(sampleHeader, "Ke")
	none(sampleHeader, "B")
	none(sampleHeader, "NATS/1.0 503 No Responders")
	none("A: 1\r\n\r\n", "A")
	none("NATS/1.0\nA: 1\r\n\r\n", "A")
	none("NATS/1.0\r\nA", "A")
	none("", "A")
	none(HeaderEmpty, "A")
}

func TestHeaderIterator(t *testing.T) {
	lines := func(hdr string) string {
		var out []string
		for it := Headers([]byte(hdr)); ; {
			k, v, ok := it.Next()
			if !ok {
				return strings.Join(out, "|")
			}
			out = append(out, string(k)+"="+string(v))
		}
	}
	for hdr, want := range map[string]string{
		sampleHeader:                       "A=1|Key=two words |key=x|Empty=|A=2|A-B=3",
		HeaderEmpty:                        "",
		"":                                 "",
		"NATS/1.0\r\nno colon\r\nA: 1\r\n": "A=1",
		"NATS/1.0\r\nA: 1\r\nB: cut":       "A=1",
		"NATS/1.0\r\nA: 1\r\n\r\nB: 2\r\n": "A=1",
	} {
		if got := lines(hdr); got != want {
			t.Errorf("%q: got %q, want %q", hdr, got, want)
		}
	}
}

func TestHeaderCheck(t *testing.T) {
	for _, good := range []string{sampleHeader, HeaderEmpty, "NATS/1.0 100\r\n\r\n", "NATS/1.0\r\nA:\r\n\r\n"} {
		if err := HeaderCheck([]byte(good)); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "NATS/1.0", "NATS/1.0\r\n", "NATS/1.0x\r\n\r\n", "HTTP/1.0\r\n\r\n", "NATS/1.0\r\nA: 1\r\n", "NATS/1.0\r\nA: 1",
		"NATS/1.0\r\n: 1\r\n\r\n", "NATS/1.0\r\nA\r\n\r\n", "NATS/1.0\r\nA: 1\r\n\r\nx", "NATS/1.0\r\nA: 1\nB: 2\r\n\r\n",
	} {
		if err := HeaderCheck([]byte(bad)); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestHeaderEdit(t *testing.T) {
	check := func(got []byte, want string) {
		t.Helper()
		if string(got) != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
	hdr := func(lines ...string) []byte {
		b := AppendHeaderStart(nil)
		for _, l := range lines {
			b = append(b, l+"\r\n"...)
		}
		return AppendHeaderEnd(b)
	}
	abc := func() []byte { return hdr("A: 1", "B: 2", "A: 3", "C: 4") }

	check(AppendHeaderAdd([]byte("~"), abc(), "D", "5"), "~NATS/1.0\r\nA: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\nD: 5\r\n\r\n")
	check(AppendHeaderAdd(nil, nil, "D", []byte("5")), "NATS/1.0\r\nD: 5\r\n\r\n")
	check(AppendHeaderAdd(nil, nil, "D", "a\r\nE: 6"), "NATS/1.0\r\nD: a  E: 6\r\n\r\n")
	check(AppendHeaderSet(nil, abc(), "A", "9"), "NATS/1.0\r\nA: 9\r\nB: 2\r\nC: 4\r\n\r\n")
	check(AppendHeaderSet(nil, abc(), "C", "9"), "NATS/1.0\r\nA: 1\r\nB: 2\r\nA: 3\r\nC: 9\r\n\r\n")
	check(AppendHeaderSet(nil, abc(), "X", "9"), "NATS/1.0\r\nA: 1\r\nB: 2\r\nA: 3\r\nC: 4\r\nX: 9\r\n\r\n")
	check(AppendHeaderSet(nil, nil, "X", "9"), "NATS/1.0\r\nX: 9\r\n\r\n")
	check(AppendHeaderLast(nil, abc(), "A", "9"), "NATS/1.0\r\nB: 2\r\nC: 4\r\nA: 9\r\n\r\n")
	check(AppendHeaderLast(nil, hdr("A: 1"), "A", "9"), "NATS/1.0\r\nA: 9\r\n\r\n")
	check(AppendHeaderLast(nil, nil, "A", "9"), "NATS/1.0\r\nA: 9\r\n\r\n")
	check(HeaderDelete(abc(), "A"), "NATS/1.0\r\nB: 2\r\nC: 4\r\n\r\n")
	check(HeaderDelete(abc(), "C"), "NATS/1.0\r\nA: 1\r\nB: 2\r\nA: 3\r\n\r\n")
	check(HeaderDelete(abc(), "X"), string(abc()))
	check(HeaderDelete([]byte("NATS/1.0 503\r\nA: 1\r\n\r\n"), "A"), "NATS/1.0 503\r\n\r\n")
	check(HeaderDeletePrefix(hdr("Nats-A: 1", "B: 2", "Nats-C: 3"), "Nats-"), "NATS/1.0\r\nB: 2\r\n\r\n")
	check(HeaderDeletePrefix(hdr("A: 1"), "NATS"), "NATS/1.0\r\nA: 1\r\n\r\n")
	check(HeaderDeleteStatus([]byte("NATS/1.0 503 x\r\nA: 1\r\n\r\n")), "NATS/1.0\r\nA: 1\r\n\r\n")
	check(HeaderDeleteStatus(abc()), string(abc()))
	for _, left := range [][]byte{
		HeaderDelete(hdr("A: 1", "A: 2"), "A"), HeaderDeletePrefix(hdr("A: 1", "A: 2"), "A"),
		HeaderDeletePrefix(hdr("A: 1", "B: 2"), ""), HeaderDeleteStatus([]byte("NATS/1.0 503\r\n\r\n")),
	} {
		if left != nil {
			t.Errorf("left %q", left)
		}
	}
}

// FuzzHeaders reads and edits any bytes: nothing panics, reading does not leave
// the block, and a good block stays good.
func FuzzHeaders(f *testing.F) {
	f.Add([]byte(sampleHeader), "A", "v")
	f.Add([]byte("NATS/1.0\r\nA"), "A", "\r\n")
	f.Add([]byte("\r\n\r\nA:"), "A", "")
	f.Fuzz(func(t *testing.T, hdr []byte, key, value string) {
		good := HeaderCheck(hdr) == nil
		HeaderStatus(hdr)
		n := 0
		for it := Headers(hdr); ; n++ {
			k, v, ok := it.Next()
			if !ok {
				break
			}
			if good && HeaderGet(hdr, string(k)) == nil {
				t.Fatalf("line %q: %q not found", k, v)
			}
		}
		if n > len(hdr) {
			t.Fatal("iterator does not end")
		}
		if strings.ContainsAny(key, "\r\n:") || key == "" {
			HeaderDelete(bytes.Clone(hdr), key)
			HeaderDeletePrefix(bytes.Clone(hdr), key)
			return
		}
		one := strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
		for _, edited := range [][]byte{
			AppendHeaderSet(nil, hdr, key, value), AppendHeaderLast(nil, hdr, key, value), AppendHeaderAdd(nil, hdr, key, value),
		} {
			if good && (HeaderCheck(edited) != nil || HeaderGet(edited, key) == nil) {
				t.Fatalf("%q with %q = %q: %q", hdr, key, value, edited)
			}
		}
		set := AppendHeaderSet(nil, hdr, key, value)
		if got := HeaderGet(set, key); good && string(got) != strings.TrimLeft(one, " ") {
			t.Fatalf("set %q, got %q", value, got)
		}
		for _, left := range [][]byte{HeaderDelete(set, key), HeaderDeletePrefix(bytes.Clone(hdr), key)} {
			if left != nil && good && (HeaderCheck(left) != nil || HeaderGet(left, key) != nil) {
				t.Fatalf("%q without %q: %q", hdr, key, left)
			}
		}
		HeaderDeleteStatus(bytes.Clone(hdr))
	})
}
