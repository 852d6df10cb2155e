package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// hashOf runs printHash on a file with the given content.
func hashOf(t *testing.T, input string, cost int, generate bool) (stdout, stderr string, err error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out, problems bytes.Buffer
	err = printHash(cost, generate, in, &out, &problems)
	return out.String(), problems.String(), err
}

func TestPasswordHash(t *testing.T) {
	for input, want := range map[string]string{
		"a password that is long\n":     "a password that is long",
		"a password without line end":   "a password without line end",
		"with a carriage return ok\r\n": "with a carriage return ok",
	} {
		out, problems, err := hashOf(t, input, bcrypt.MinCost, false)
		if err != nil || problems != "" {
			t.Fatalf("%q: %v, %q", input, err, problems)
		}
		if err := bcrypt.CompareHashAndPassword([]byte(strings.TrimSpace(out)), []byte(want)); err != nil {
			t.Errorf("%q: %v", input, err)
		}
	}
	if _, problems, err := hashOf(t, "short\n", bcrypt.MinCost, false); err != nil || !strings.Contains(problems, "warning") {
		t.Errorf("a short password: %v, %q", err, problems)
	}
	for _, input := range []string{"", "\n", strings.Repeat("x", passwdMax+1)} {
		if out, _, err := hashOf(t, input, bcrypt.MinCost, false); err == nil || out != "" {
			t.Errorf("%q: %q, %v", input, out, err)
		}
	}
	if _, _, err := hashOf(t, "x", bcrypt.MaxCost+1, false); err == nil {
		t.Error("a cost beyond bcrypt's is taken")
	}
}

func TestPasswordGenerated(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		out, _, err := hashOf(t, "", bcrypt.MinCost, true)
		lines := strings.Fields(out)
		if err != nil || len(lines) != 2 || len(lines[0]) < passwdMin || seen[lines[0]] {
			t.Fatalf("%q, %v", out, err)
		}
		seen[lines[0]] = true
		if err := bcrypt.CompareHashAndPassword([]byte(lines[1]), []byte(lines[0])); err != nil {
			t.Error(err)
		}
	}
}

func TestPasswordNotAsArgument(t *testing.T) {
	var out, problems bytes.Buffer
	if status := passwd([]string{"secret"}, &out, &problems); status != 2 || strings.Contains(problems.String(), "secret") {
		t.Errorf("status %d, %q", status, problems.String())
	}
}
