package logging

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// I6: a flood of one text costs a burst and a summary.
func TestRepeatsAreLeftOut(t *testing.T) {
	for _, form := range []Options{{NoTime: true}, {NoTime: true, JSON: true}} {
		synctest.Test(t, func(t *testing.T) {
			var s sink
			l := New(&s, form)
			for range 1000 {
				l.Errorf("again \"%s\"", "and\tagain")
				l.Noticef("other")
				l.Debugf("debug")
				l.Noticef("again \"and\tagain\"") // another level is another line
			}
			time.Sleep(repeatWindow)
			synctest.Wait()
			l.Errorf("again \"and\tagain\"")
			l.Close()
			out := s.String()
			check := func(text string, want int) {
				t.Helper()
				if n := strings.Count(out, text); n != want {
					t.Errorf("%d times %q, want %d, in:\n%s", n, text, want, out)
				}
			}
			check("other", repeatBurst+1)
			check("debug", 0)
			check("Left out 990 repeats of: other", 1)
			if form.JSON {
				check(`"level":"error"`, repeatBurst+2)
				check(`Left out 990 repeats of: again \"and\tagain\""}`, 2)
			} else {
				check("[ERR] again", repeatBurst+1)
				check("[ERR] Left out 990 repeats of: again \"and\tagain\"\n", 1)
				check("[INF] Left out 990 repeats of: again \"and\tagain\"\n", 1)
			}
		})
	}
}

// Debug and trace lines are asked for: all of them are written.
func TestRepeatsOfDetailStay(t *testing.T) {
	var s sink
	l := New(&s, Options{NoTime: true, Debug: true, Trace: true})
	for range 100 {
		l.Debugf("x")
		l.Tracef("x")
	}
	l.Close()
	if n := strings.Count(s.String(), "\n"); n != 200 {
		t.Errorf("%d lines", n)
	}
}

// The table is bounded, and Close tells what was left out so far.
func TestRepeatsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		l := New(&s, Options{NoTime: true})
		l.Warnf("first")
		for i := range 2 * repeatTextsMax {
			l.Warnf("text %d", i)
		}
		l.mu.Lock()
		n := len(l.repeats.texts)
		l.mu.Unlock()
		if n > repeatTextsMax {
			t.Errorf("%d texts remembered", n)
		}
		for range repeatBurst {
			l.Warnf("first")
		}
		l.Warnf("%s", strings.Repeat("long", 1000))
		l.Close()
		want := fmt.Sprintf("[WRN] Left out %d repeats of: first\n", 1)
		if out := s.String(); strings.Count(out, "\n") != 1+2*repeatTextsMax+repeatBurst-1+1+1 || !strings.Contains(out, want) {
			t.Errorf("%d lines, want one of them %q", strings.Count(out, "\n"), want)
		}
	})
}

func TestPayloadsAreCut(t *testing.T) {
	var s sink
	l := New(&s, Options{NoTime: true, Trace: true, PayloadMax: 4})
	payload := func(b string) { l.Tracef("%s - <<- MSG_PAYLOAD: [%q]", "me", []byte(b)) }
	payload("hello")
	payload("hell")
	payload("a\"\nbc")
	l.Tracef("<<- [%s %s]", "PUB", []byte("foo.bar 5"))
	l.SetPayloadMax(0)
	payload("hello")
	l.Close()
	want := []string{`me - <<- MSG_PAYLOAD: ["hell..."]`, `me - <<- MSG_PAYLOAD: ["hell"]`, `me - <<- MSG_PAYLOAD: ["a\"\nb..."]`,
		`<<- [PUB foo.bar 5]`, `me - <<- MSG_PAYLOAD: ["hello"]`}
	for i, line := range strings.Split(strings.TrimSuffix(s.String(), "\n"), "\n") {
		if _, text, _ := strings.Cut(line, "[TRC] "); i >= len(want) || text != want[i] {
			t.Errorf("line %d is %q", i, line)
		}
	}
}
