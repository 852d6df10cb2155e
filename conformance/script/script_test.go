package script

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	s, err := Parse(`# A comment.
flags -D --name x
pings
config
  a: 1
	b { c: 2 }
open a
send a PUB foo 2\r\n\x00é"\u00e9 
cut a 1,3 abcd
repeat a 12 ab
line a
line a 3
eof a maybe
signal USR2
logs 2 a b
reload
  a: 2
  b { }
sign a me CONNECT {"nkey":"<nkey:me>","sig":"<sig>"}\r\n
`)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"-D", "--name", "x"}; !slices.Equal(s.Flags, want) {
		t.Errorf("flags %q, want %q", s.Flags, want)
	}
	if want := "a: 1\nb { c: 2 }\n"; s.Config != want || !s.Pings {
		t.Errorf("config %q, pings %v", s.Config, s.Pings)
	}
	if len(s.Steps) != 11 {
		t.Fatalf("%d steps: %+v", len(s.Steps), s.Steps)
	}
	if got, want := string(s.Steps[1].Bytes), "PUB foo 2\r\n\x00é\"é "; got != want {
		t.Errorf("send bytes %q, want %q", got, want)
	}
	if !slices.Equal(s.Steps[2].Cuts, []int{1, 3}) || s.Steps[3].Count != 12 || s.Steps[4].Count != 1 || s.Steps[5].Count != 3 {
		t.Errorf("numbers: %+v", s.Steps[2:6])
	}
	if string(s.Steps[9].Bytes) != "a: 2\nb { }\n" || s.Steps[10].User != "me" || !strings.Contains(string(s.Steps[10].Bytes), `"nkey":"U`) {
		t.Errorf("steps: %+v", s.Steps[9:])
	}
	if !s.Steps[6].Maybe || s.Steps[8].Line != 15 || string(s.Steps[8].Bytes) != "a b" {
		t.Errorf("last steps: %+v", s.Steps[6:])
	}
}

func TestParseErrors(t *testing.T) {
	for _, text := range []string{
		"shout a", "open", "open a b", "send a", `send a \q`, "cut a 0 abc", "cut a 3 abc", "cut a 2,1 abc",
		"repeat a 0 x", "repeat a x y", "line a -1", "eof a surely", "signal KILL", "logs many x",
	} {
		if _, err := Parse("# first\n" + text); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("Parse(%q): %v, want an error for line 2", text, err)
		}
	}
}

func TestNormalise(t *testing.T) {
	id := strings.Repeat("A", 55)
	normalised := func(in, want string) {
		t.Helper()
		if got := string(Normalise([]byte(in))); got != want {
			t.Errorf("Normalise(%s) = %s, want %s", in, got, want)
		}
	}
	normalised(`"server_id":"N`+id+`","port":1234`, `"server_id":"<id>","port":<port>`)
	normalised(`"server_id":"X`+id+`"`, `"server_id":"X`+id+`"`)
	normalised(`"client_id":0`, `"client_id":0`)
	normalised(`"git_commit":"abc1234","go":"go1.26.8"`, `"go":"<go>"`)
	normalised("[12] 2026/11/23 14:31:28.994105 [INF] 127.0.0.1:53424 - cid:5 - x", "[<pid>] <time> [INF] 127.0.0.1:<port> - cid:<n> - x")
}

func TestDiff(t *testing.T) {
	base := Transcript{{Conn: "a", Data: []byte("PONG\r\n")}, {Conn: "a", Data: []byte("-ERR 'x'\r\n"), Note: closedNote, Maybe: true}}
	differ := func(other Transcript, want bool) {
		t.Helper()
		if got := Diff(base, other) != ""; got != want {
			t.Errorf("Diff with\n%s= %v, want %v", other, got, want)
		}
	}
	differ(slices.Clone(base), false)
	differ(base[:1], true)
	differ(append(slices.Clone(base), Entry{Conn: "b"}), true)
	differ(Transcript{base[0], {Conn: "a", Note: closedNote, Maybe: true}}, false)
	differ(Transcript{base[0], {Conn: "a", Data: []byte("-ERR 'y'\r\n"), Note: closedNote, Maybe: true}}, true)
	differ(Transcript{base[0], {Conn: "a", Maybe: true}}, true)
	differ(Transcript{{Conn: "b", Data: base[0].Data}, base[1]}, true)
}

func TestTranscriptFolds(t *testing.T) {
	tr := Transcript{
		{Conn: "a", Data: []byte("+OK\r\nPONG\r\n+OK\r\nPONG\r\n+OK\r\nPONG\r\n")},
		{Conn: "a", Data: []byte(strings.Repeat("x", 50) + "\"\xff")},
	}
	want := "3 times:\n    a < +OK\\r\\n\n    a < PONG\\r\\n\na < {x × 50}\"\\xff\n"
	if got := tr.String(); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestDeliveryLen(t *testing.T) {
	length := func(in string, want int) {
		t.Helper()
		if got := deliveryLen([]byte(in)); got != want {
			t.Errorf("deliveryLen(%q) = %d, want %d", in, got, want)
		}
	}
	length("MSG foo 1 2\r\nok\r\nMSG", 17)
	length("HMSG foo 1 r 1 2\r\nok\r\n", 22)
	length("MSG foo 1 2\r\nok\r", -1)
	length("MSG foo", -1)
	length("PONG\r\nMSG", 6)
}

// TestWriteScript reads what String writes.
func TestWriteScript(t *testing.T) {
	text := "flags -D\npings\nconfig\n  a: 1\nopen a\nsend a \\x20x\\r\\n\\x00é\\xff\"\\\\ y\\x20\ncut a 1,2 abc\nrepeat a 3 x\nline a 1\neof a maybe\nlogs 2 a.*\n"
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.String(); got != text {
		t.Errorf("got\n%swant\n%s", got, text)
	}
}
