package script

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Transcript is what one run of a script saw.
type Transcript []Entry

// Entry is what one step saw.
type Entry struct {
	Conn  string
	Data  []byte // normalised
	Note  string // how the step ended, when not by success
	Maybe bool   // Data may be cut short by a reset
}

// volatile values differ between any two starts of the same server.
var volatile = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`"(server_id|server_name)":"N[A-Z2-7]{55}"`), `"$1":"<id>"`},
	{regexp.MustCompile(`"xkey":"X[A-Z2-7]{55}"`), `"xkey":"<xkey>"`},
	{regexp.MustCompile(`"nonce":"[A-Za-z0-9_-]{15}"`), `"nonce":"<nonce>"`},
	{regexp.MustCompile(`"(port|client_id)":[1-9][0-9]*`), `"$1":<$1>`},
	{regexp.MustCompile(`"go":"go1\.[0-9.]+"`), `"go":"<go>"`},
	{regexp.MustCompile(`"git_commit":"[0-9a-f]{7}",`), ``},
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), `sha256:<digest>`},
	{regexp.MustCompile(`127\.0\.0\.1:[0-9]{4,5}\b`), `127.0.0.1:<port>`},
	{regexp.MustCompile(`^\[[0-9]+\] [0-9]{4}/[0-9]{2}/[0-9]{2} [0-9:.]{15} `), `[<pid>] <time> `},
	{regexp.MustCompile(`\b(cid):[0-9]+\b`), `$1:<n>`},
	// Requests to services of other accounts, and what they took.
	{regexp.MustCompile(`_R_\.[0-9A-Za-z]{6}\.[0-9A-Za-z]{6}\b`), `_R_.<reply>`},
	{regexp.MustCompile(`(_R_\.<reply>)\.[0-9A-Za-z]{8}\.T`), `$1.<node>.T`},
	{regexp.MustCompile(`(HMSG \S+ \S+(?: \S+)?) [0-9]+ [0-9]+(\r\nNATS/1\.0[^\r\n]*\r\n(?:[^\r\n]+\r\n)*?Nats-Request-Info: )`), `$1 <n> <n>$2`},
	{regexp.MustCompile(`(MSG \S+ \S+ +)[0-9]+(\r\n\{"type":"io\.nats\.server\.metric)`), `$1<n>$2`},
	{regexp.MustCompile(`"(rtt|service|system|total)":[0-9]+`), `"$1":<ns>`},
	{regexp.MustCompile(`"(start|timestamp)":"[0-9T:.Z+-]+"`), `"$1":"<time>"`},
	{regexp.MustCompile(`"id":"[0-9A-Za-z]{22}"`), `"id":"<event>"`},
	{regexp.MustCompile(`"id":[0-9]+`), `"id":<n>`},
	{regexp.MustCompile(`"server":"N[A-Z2-7]{55}"`), `"server":"<id>"`},
}

// Normalise replaces volatile values by their names, where their shape is right.
func Normalise(b []byte) []byte {
	for _, v := range volatile {
		b = v.pattern.ReplaceAll(b, []byte(v.name))
	}
	return b
}

// String shows the transcript, one line of protocol per line. Long runs of one
// byte appear as {byte × count}; lines that repeat, alone or as a group, appear
// once with their count.
func (t Transcript) String() string {
	var lines []string
	for _, e := range t {
		lines = append(lines, e.lines()...)
	}
	var out strings.Builder
	for len(lines) > 0 {
		group, times := repetition(lines)
		if times > 1 {
			fmt.Fprintf(&out, "%d times:\n", times)
		}
		for _, line := range lines[:group] {
			if times > 1 {
				out.WriteString("    ")
			}
			out.WriteString(line + "\n")
		}
		lines = lines[group*times:]
	}
	return out.String()
}

// String shows the entry, each line ended by a line feed.
func (e Entry) String() string { return Transcript{e}.String() }

func (e Entry) lines() []string {
	var out []string
	for line := range bytes.Lines(e.Data) {
		out = append(out, e.Conn+" < "+quote(line))
	}
	if e.Note != "" {
		out = append(out, e.Conn+" "+e.Note)
	}
	return out
}

// groupMax is the largest group of lines that is looked for as a repetition,
// timesMin the least number of times worth folding.
const groupMax, timesMin = 8, 3

// repetition says how often the first lines repeat at once, as groups of which
// size. Without a repetition it is one line, once.
func repetition(lines []string) (group, times int) {
	for group := 1; group <= min(groupMax, len(lines)/timesMin); group++ {
		times := 1
		for next := lines[group:]; len(next) >= group && slices.Equal(next[:group], lines[:group]); next = next[group:] {
			times++
		}
		if times >= timesMin {
			return group, times
		}
	}
	return 1, 1
}

// runMin is the shortest run that is shown as a count.
const runMin = 40

func quote(line []byte) string {
	var out strings.Builder
	for len(line) > 0 {
		run := 1
		for run < len(line) && line[run] == line[0] {
			run++
		}
		if run < runMin {
			run = 1
		}
		text := strconv.Quote(string(line[:1]))
		text = text[1 : len(text)-1]
		switch {
		case run > 1:
			fmt.Fprintf(&out, "{%s × %d}", text, run)
		case text == `\"`:
			out.WriteByte('"')
		default:
			out.WriteString(text)
		}
		line = line[run:]
	}
	return out.String()
}

// Diff returns the empty string when both saw the same, else a text that shows
// the first difference.
func Diff(want, got Transcript) string {
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			return difference(i, want[i].String(), "(the run ended before)\n")
		case i >= len(want):
			return difference(i, "(the run ended before)\n", got[i].String())
		case !alike(want[i], got[i]):
			return difference(i, want[i].String(), got[i].String())
		}
	}
	return ""
}

func alike(a, b Entry) bool {
	if a.Conn != b.Conn || a.Note != b.Note {
		return false
	}
	if a.Maybe && (bytes.HasPrefix(a.Data, b.Data) || bytes.HasPrefix(b.Data, a.Data)) {
		return true
	}
	return bytes.Equal(a.Data, b.Data)
}

func difference(i int, want, got string) string {
	return fmt.Sprintf("first difference in entry %d\nwant:\n%sgot:\n%s", i+1, want, got)
}
