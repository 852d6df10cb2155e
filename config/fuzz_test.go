package config

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// FuzzOptions reads any file, completes it, compares it with itself and shows it:
// no panic, and nothing changes.
func FuzzOptions(f *testing.F) {
	for _, pattern := range []string{"testdata/corpus/*.conf", "testdata/start/*.conf"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	env := Env{
		ReadFile: func(path string) ([]byte, error) {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
		LookupEnv: func(string) (string, bool) { return "", false },
	}
	f.Fuzz(func(t *testing.T, src string) {
		o, _, err := Parse(src, "f.conf", env)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a word")
			}
			return
		}
		if o.Complete() != nil {
			return
		}
		changes, err := Diff(o, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.Path != "" {
				t.Fatalf("%+v", c)
			}
		}
		o.Show(io.Discard, true)
		o.Missing()
	})
}
