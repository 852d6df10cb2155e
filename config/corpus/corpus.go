package corpus

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Environ are the variables that files of the corpus refer to, as "NAME=value".
func Environ() []string {
	return []string{
		"CORPUS_PORT=4223", "CORPUS_LIST=[a, b]", "CORPUS_NAME=from the environment",
		"CORPUS_CYCLE=$CORPUS_CYCLE", "CORPUS_BAD=[a",
	}
}

// Files returns the paths of the corpus, relative to testdata, which is the
// working directory.
func Files() ([]string, error) {
	entries, err := os.ReadDir("corpus")
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".conf") {
			files = append(files, "corpus/"+e.Name())
		}
	}
	return files, nil
}

// Outcome is what a server says of a file.
type Outcome struct {
	Accepted bool
	Digest   string   // "sha256:…" if accepted
	Lines    []string // why not, sorted
}

var digest = regexp.MustCompile(`\((sha256:[0-9a-f]{64})\)`)

// Parse reads what a binary wrote for -t: its exit status and standard error.
// Lines that tell of a crash inside the reference's checker say nothing of the
// file and are left out.
func Parse(exit int, stderr string) Outcome {
	if exit == 0 {
		o := Outcome{Accepted: true}
		if found := digest.FindStringSubmatch(stderr); found != nil {
			o.Digest = found[1]
		}
		return o
	}
	return Refused(strings.TrimPrefix(stderr, "nats-server: "))
}

// Refused is the outcome of a file with the given lines against it.
func Refused(text string) Outcome {
	var o Outcome
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && !strings.Contains(line, "runtime error: invalid memory address") {
			o.Lines = append(o.Lines, line)
		}
	}
	slices.Sort(o.Lines)
	return o
}

var place = regexp.MustCompile(`^\S+\.conf:\d+:\d+: `)

// Compare says how ours differs from what the reference says, or nil. Texts are
// the same, line by line; where the reference names no place ours may name one.
func Compare(reference, ours Outcome) error {
	if reference.Accepted != ours.Accepted {
		return fmt.Errorf("reference: %s; ours: %s", reference, ours)
	}
	if reference.Accepted {
		if reference.Digest != ours.Digest {
			return fmt.Errorf("digest of the reference %s; ours %s", reference.Digest, ours.Digest)
		}
		return nil
	}
	rest := slices.Clone(ours.Lines)
	for _, line := range reference.Lines {
		i := slices.IndexFunc(rest, func(our string) bool {
			return our == line || !place.MatchString(line) && place.ReplaceAllString(our, "") == line
		})
		if i < 0 {
			return fmt.Errorf("reference: %s; ours: %s", reference, ours)
		}
		rest = slices.Delete(rest, i, i+1)
	}
	if len(rest) > 0 {
		return fmt.Errorf("reference: %s; ours: %s", reference, ours)
	}
	return nil
}

// SameLines is a weaker Compare: both refuse, and name the same lines of files.
func SameLines(reference, ours Outcome) error {
	if reference.Accepted || ours.Accepted || !slices.Equal(reference.places(), ours.places()) {
		return fmt.Errorf("reference: %s; ours: %s", reference, ours)
	}
	return nil
}

var lineNumber = regexp.MustCompile(`^\S+\.conf:\d+|Parse error on line \d+`)

func (o Outcome) places() []string {
	var all []string
	for _, line := range o.Lines {
		all = append(all, lineNumber.FindString(line))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (o Outcome) String() string {
	if o.Accepted {
		return "accepted"
	}
	return fmt.Sprintf("%q", o.Lines)
}
