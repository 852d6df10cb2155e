package conformance

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peregrine/conformance/harness"
	"peregrine/conformance/script"
)

var showTranscripts = flag.Bool("transcripts", false, "log the reference's transcripts (with -v)")

// TestScripts plays every script on the reference, and on Peregrine with one
// loop and with several; all transcripts must be equal.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("scripts/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 200 { // a wrong folder would pass as an empty set
		t.Fatalf("%d scripts found, the set has more", len(paths))
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := script.ReadFile(name, path)
			if err != nil {
				t.Fatal(err)
			}
			want := play(t, s, harness.Reference)
			if *showTranscripts {
				t.Logf("transcript:\n%s", want)
			}
			for _, loops := range []string{"1", "3"} {
				t.Run("loops="+loops, func(t *testing.T) {
					skipUnsupported(t, s)
					got := play(t, s, harness.Peregrine, loopFlags(t, loops)...)
					if diff := script.Diff(want, got); diff != "" {
						t.Errorf("%s\nthe reference's transcript:\n%s\nPeregrine's:\n%s", diff, want, got)
					}
				})
			}
		})
	}
}

// skipUnsupported skips a script that needs a flag Peregrine does not have yet.
func skipUnsupported(t *testing.T, s *script.Script) {
	t.Helper()
	needs := make([]string, 0, len(s.Flags)+1)
	if s.Config != "" {
		needs = append(needs, "-c")
	}
	for _, arg := range s.Flags {
		if len(arg) > 1 && arg[0] == '-' && (arg[1] < '0' || arg[1] > '9') {
			needs = append(needs, arg)
		}
	}
	for _, name := range needs {
		if !harness.HasFlag(t, harness.Peregrine, name) {
			t.Skipf("this script needs %s, which Peregrine does not have yet", name)
		}
	}
}

func loopFlags(t *testing.T, loops string) []string {
	t.Helper()
	if !harness.HasFlag(t, harness.Peregrine, "-loops") {
		return nil // another server sits in this seat
	}
	return []string{"--loops", loops}
}

// missingPart is how Peregrine refuses a configuration that is ahead of it.
const missingPart = ", which this version does not have yet"

func play(t *testing.T, s *script.Script, seat harness.Seat, flags ...string) script.Transcript {
	t.Helper()
	flags = append(flags, s.Flags...)
	if s.Config != "" {
		path := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(path, []byte(s.Config), 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "-c", path)
	}
	server, err := harness.TryStart(t, seat, flags...)
	if err != nil {
		if seat == harness.Peregrine && strings.Contains(err.Error(), missingPart) {
			t.Skip("this script's configuration needs a part that Peregrine does not have yet")
		}
		t.Fatal(err)
	}
	transcript, err := script.Play(s, server)
	if err != nil {
		t.Errorf("%s: %v\ntranscript so far:\n%s", seat, err, transcript)
	}
	server.Kill()
	return transcript
}
