package script

import (
	"crypto/sha256"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nkeys"
)

// Script is a parsed script.
type Script struct {
	Name   string
	Flags  []string // more server arguments
	Config string   // text of a configuration file, or empty
	Pings  bool     // PINGs of the server belong to the transcript
	Steps  []Step
}

// Step is one line.
type Step struct {
	Line  int    // in the file, from 1
	Verb  string // a key of grammar
	Conn  string // the connection's name; the signal's for signal
	User  string // of sign
	Bytes []byte // the text of reload; of send, answer, repeat, cut, drip, splits, until; the pattern of logs
	Count int    // of repeat, line, sorted, logs
	Cuts  []int  // of cut
	Maybe bool   // of eof
}

// ReadFile parses the script at path.
func ReadFile(name, path string) (*Script, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.Name = name
	return s, nil
}

// grammar says how to read what follows each verb.
var grammar = map[string]func(s *Step, rest string) error{
	"open":   nameOnly,
	"dial":   nameOnly,
	"sync":   nameOnly,
	"shut":   nameOnly,
	"reset":  nameOnly,
	"signal": signalName,
	"send":   nameBytes,
	"answer": nameBytes,
	"sign":   nameUserBytes,
	"drip":   nameBytes,
	"splits": nameBytes,
	"until":  nameBytes,
	"repeat": nameCountBytes,
	"cut":    nameCutsBytes,
	"line":   nameCount,
	"sorted": nameCount,
	"eof":    nameMaybe,
	"logs":   countPattern,
}

// Parse reads a script. An error names the line.
func Parse(text string) (*Script, error) {
	s := new(Script)
	var block func(line string) // takes the indented lines of config or reload
	text = keyName.ReplaceAllStringFunc(text, func(name string) string {
		_, public := userKeys(keyName.FindStringSubmatch(name)[1])
		return public
	})
	for i, line := range strings.Split(text, "\n") {
		if block != nil && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			block(strings.TrimSpace(line) + "\n")
			continue
		}
		block = nil
		if line == "" || line[0] == '#' {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "flags":
			s.Flags = append(s.Flags, strings.Fields(rest)...)
			continue
		case "pings":
			s.Pings = true
			continue
		case "config":
			block = func(line string) { s.Config += line }
			continue
		case "reload":
			s.Steps = append(s.Steps, Step{Line: i + 1, Verb: verb})
			step := len(s.Steps) - 1
			block = func(line string) { s.Steps[step].Bytes = append(s.Steps[step].Bytes, line...) }
			continue
		}
		step := Step{Line: i + 1, Verb: verb}
		read, known := grammar[verb]
		if !known {
			return nil, fmt.Errorf("line %d: no such step %q", i+1, verb)
		}
		if err := read(&step, rest); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", i+1, verb, err)
		}
		s.Steps = append(s.Steps, step)
	}
	return s, nil
}

func nameOnly(s *Step, rest string) error {
	if rest == "" || strings.Contains(rest, " ") {
		return fmt.Errorf("want one name, got %q", rest)
	}
	s.Conn = rest
	return nil
}

func signalName(s *Step, rest string) error {
	if _, known := signals[rest]; !known {
		return fmt.Errorf("no such signal %q", rest)
	}
	return nameOnly(s, rest)
}

func nameBytes(s *Step, rest string) error {
	name, text, _ := strings.Cut(rest, " ")
	if err := nameOnly(s, name); err != nil {
		return err
	}
	return setBytes(s, text)
}

func nameUserBytes(s *Step, rest string) error {
	name, rest, _ := strings.Cut(rest, " ")
	if err := nameOnly(s, name); err != nil {
		return err
	}
	user, text, _ := strings.Cut(rest, " ")
	s.User = user
	return setBytes(s, text)
}

// keyName is how a script writes the public key of a user.
var keyName = regexp.MustCompile(`<nkey:([a-z0-9]+)>`)

// userKeys returns the keys of the user of that name: the same ones always, for
// tests alone.
func userKeys(name string) (nkeys.KeyPair, string) {
	seed := sha256.Sum256([]byte("peregrine script " + name))
	raw, err := nkeys.EncodeSeed(nkeys.PrefixByteUser, seed[:])
	if err != nil {
		panic(err) // 32 bytes are a seed
	}
	pair, err := nkeys.FromSeed(raw)
	if err != nil {
		panic(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		panic(err)
	}
	return pair, public
}

func nameCountBytes(s *Step, rest string) error {
	name, rest, _ := strings.Cut(rest, " ")
	if err := nameOnly(s, name); err != nil {
		return err
	}
	count, text, _ := strings.Cut(rest, " ")
	if err := setCount(s, count); err != nil {
		return err
	}
	return setBytes(s, text)
}

func nameCutsBytes(s *Step, rest string) error {
	name, rest, _ := strings.Cut(rest, " ")
	if err := nameOnly(s, name); err != nil {
		return err
	}
	cuts, text, _ := strings.Cut(rest, " ")
	if err := setBytes(s, text); err != nil {
		return err
	}
	last := 0
	for cut := range strings.SplitSeq(cuts, ",") {
		n, err := strconv.Atoi(cut)
		if err != nil || n <= last || n >= len(s.Bytes) {
			return fmt.Errorf("cut %q is not between %d and %d", cut, last, len(s.Bytes))
		}
		s.Cuts = append(s.Cuts, n)
		last = n
	}
	return nil
}

func nameCount(s *Step, rest string) error {
	name, count, found := strings.Cut(rest, " ")
	if !found {
		count = "1"
	}
	if err := nameOnly(s, name); err != nil {
		return err
	}
	return setCount(s, count)
}

func nameMaybe(s *Step, rest string) error {
	name, word, found := strings.Cut(rest, " ")
	if found && word != "maybe" {
		return fmt.Errorf("unexpected %q", word)
	}
	s.Maybe = found
	return nameOnly(s, name)
}

func countPattern(s *Step, rest string) error {
	count, pattern, _ := strings.Cut(rest, " ")
	s.Bytes = []byte(pattern)
	return setCount(s, count)
}

func setCount(s *Step, text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return fmt.Errorf("want a count, got %q", text)
	}
	s.Count = n
	return nil
}

func setBytes(s *Step, text string) error {
	if text == "" {
		return fmt.Errorf("no bytes")
	}
	for text != "" {
		char, multibyte, tail, err := strconv.UnquoteChar(text, 0)
		if err != nil {
			return fmt.Errorf("bad escape at %q", text)
		}
		if multibyte {
			s.Bytes = utf8.AppendRune(s.Bytes, char)
		} else {
			s.Bytes = append(s.Bytes, byte(char))
		}
		text = tail
	}
	return nil
}

// String writes the script in its language.
func (s *Script) String() string {
	var out strings.Builder
	if len(s.Flags) > 0 {
		fmt.Fprintf(&out, "flags %s\n", strings.Join(s.Flags, " "))
	}
	if s.Pings {
		out.WriteString("pings\n")
	}
	if s.Config != "" {
		out.WriteString("config\n")
		for line := range strings.Lines(s.Config) {
			out.WriteString("  " + line)
		}
	}
	for _, step := range s.Steps {
		fmt.Fprintln(&out, step)
	}
	return out.String()
}

// String writes the step in the script's language.
func (s Step) String() string {
	if s.Verb == "reload" {
		return strings.TrimSuffix("reload\n  "+strings.ReplaceAll(string(s.Bytes), "\n", "\n  "), "\n  ")
	}
	words := []string{s.Verb}
	if s.Conn != "" {
		words = append(words, s.Conn)
	}
	if s.User != "" {
		words = append(words, s.User)
	}
	if s.Count > 0 {
		words = append(words, strconv.Itoa(s.Count))
	}
	if len(s.Cuts) > 0 {
		cuts := make([]string, len(s.Cuts))
		for i, cut := range s.Cuts {
			cuts[i] = strconv.Itoa(cut)
		}
		words = append(words, strings.Join(cuts, ","))
	}
	switch {
	case s.Verb == "logs":
		words = append(words, string(s.Bytes))
	case len(s.Bytes) > 0:
		words = append(words, escape(s.Bytes))
	}
	if s.Maybe {
		words = append(words, "maybe")
	}
	return strings.Join(words, " ")
}

// escape is the reverse of setBytes.
func escape(b []byte) string {
	text := strconv.Quote(string(b))
	text = strings.ReplaceAll(text[1:len(text)-1], `\"`, `"`)
	if trimmed := strings.TrimSuffix(text, " "); trimmed != text {
		text = trimmed + `\x20`
	}
	if trimmed := strings.TrimPrefix(text, " "); trimmed != text {
		text = `\x20` + trimmed
	}
	return text
}
