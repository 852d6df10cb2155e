package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peregrine/jetstream/engine"
	"peregrine/jetstream/inspect"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// storeData makes a data directory with one stream of n messages, closed.
func storeData(t *testing.T, n int, keys []store.Key) string {
	t.Helper()
	dir := t.TempDir()
	disk, err := vfs.OpenDisk(filepath.Join(dir, "jetstream"), vfs.DiskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e, _, err := engine.Open(disk, engine.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	e.Start(nil)
	failed := make(chan error, 1)
	e.Shards()[0].Do(func(s *engine.Shard) {
		s.CreateStream(nil, engine.StreamOptions{Keys: keys}, func(st *engine.Stream, err error) {
			for i := 0; i < n && err == nil; i++ {
				_, err = st.Messages.Append(&store.Message{Time: int64(i), Subject: []byte("orders.new"), Payload: fmt.Appendf(nil, "order %d", i)})
			}
			failed <- err
		})
	})
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// storeSays runs the command; the directory must be as it was.
func storeSays(t *testing.T, dir string, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	before := fingerprint(t, dir)
	var out, err bytes.Buffer
	got := run(append(append([]string{"store"}, args...), dir), &out, &err)
	if got != want {
		t.Fatalf("store %v: status %d, want %d\n%s%s", args, got, want, out.String(), err.String())
	}
	if after := fingerprint(t, dir); after != before {
		t.Fatalf("store %v changed the directory:\n%s\n%s", args, before, after)
	}
	return out.String(), err.String()
}

// fingerprint is names, times and content of everything below a folder.
func fingerprint(t *testing.T, dir string) string {
	var all strings.Builder
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&all, name, info.Size(), info.ModTime(), info.Mode())
		if d.IsDir() {
			return nil
		}
		b, err := os.ReadFile(name)
		fmt.Fprintf(&all, "%x\n", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// flip changes one byte of a file that matches a pattern below the directory.
func flip(t *testing.T, dir, pattern string, at int64) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "jetstream", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %v", pattern, names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 4
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(names[0])
}

func wantText(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in\n%s", w, got)
		}
	}
}

func TestStoreSound(t *testing.T) {
	dir := storeData(t, 100, nil)
	out, _ := storeSays(t, dir, storeSound, "check")
	wantText(t, out, "1 streams, 0 consumers, 1 logs, 100 messages", ": sound")
	out, _ = storeSays(t, dir, storeSound, "stats")
	wantText(t, out, "streams/0000000000000010/messages", "clean true")
	out, _ = storeSays(t, dir, storeSound, "repair", "--dry-run")
	wantText(t, out, "1 streams, 0 consumers and 100 messages", "would write log/meta")
	out, _ = storeSays(t, dir, storeSound, "dump", "--from", "7", "--to", "7", "--payload", "--no-log")
	wantText(t, out, `live 7 1970-01-01T00:00:00.000000006Z "orders.new" header 0 payload 7 "order 6"`)
	if n := strings.Count(out, "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, out)
	}
}

func TestStoreJSON(t *testing.T) {
	dir := storeData(t, 20, nil)
	for _, verb := range []string{"check", "stats"} {
		out, _ := storeSays(t, dir, storeSound, verb, "--json")
		var r inspect.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil || !r.Sound || len(r.Streams) != 1 || r.Streams[0].Messages != 20 {
			t.Errorf("%s: %v\n%s", verb, err, out)
		}
	}
	out, _ := storeSays(t, dir, storeSound, "dump", "--json", "--payload")
	live := 0
	for line := range strings.Lines(out) {
		var m dumpedMessage
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if m.Live && string(m.Payload) == fmt.Sprintf("order %d", m.Seq-1) {
			live++
		}
	}
	if live != 20 {
		t.Errorf("%d live messages in\n%s", live, out)
	}
}

func TestStoreDamage(t *testing.T) {
	dir := storeData(t, 100, nil)
	flip(t, dir, "streams/*/messages/state.b", 200)
	out, _ := storeSays(t, dir, storeRepairable, "check")
	wantText(t, out, "repairable streams/0000000000000010/messages/state.b at 0")
	out, _ = storeSays(t, dir, storeRepairable, "repair", "--dry-run")
	wantText(t, out, "would write streams/0000000000000010/messages/state.b")
	file := flip(t, dir, "streams/*/messages/*.blk", 100)
	out, _ = storeSays(t, dir, storeDamaged, "check")
	wantText(t, out, "damage     streams/0000000000000010/messages/"+file+" at 64: ", "(messages 1 to 100)", "99 of its records are good", "DAMAGED")
	out, _ = storeSays(t, dir, storeDamaged, "dump", "--no-log")
	if n := strings.Count(out, "live"); n != 99 {
		t.Errorf("%d records can be had", n)
	}
}

func TestStoreKeys(t *testing.T) {
	key := store.DeriveKey(store.ChaCha, "secret", "info", "context")
	dir := storeData(t, 50, []store.Key{key})
	out, _ := storeSays(t, dir, storeSound, "check")
	wantText(t, out, "cannot be opened with the keys given")
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, fmt.Appendf(nil, "# mine\nchacha %x\n", key.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = storeSays(t, dir, storeSound, "check", "--keys", keys)
	wantText(t, out, "50 messages")
	if strings.Contains(out, "cannot be opened") {
		t.Errorf("with the key:\n%s", out)
	}
	if err := os.WriteFile(keys, []byte("chacha 12\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, text := storeSays(t, dir, storeFailed, "check", "--keys", keys)
	wantText(t, text, keys+":1: want chacha or aes")
}

func TestStoreRefusals(t *testing.T) {
	dir := storeData(t, 1, nil)
	_, text := storeSays(t, dir, storeFailed, "repair")
	wantText(t, text, "--dry-run")
	_, text = storeSays(t, dir, storeFailed, "mend")
	wantText(t, text, `unrecognized command: "mend"`)
	_, text = storeSays(t, t.TempDir(), storeFailed, "check")
	wantText(t, text, "no catalog, commit log, stream or consumer here")
	var out, err bytes.Buffer
	if got := run([]string{"store", "check", filepath.Join(dir, "none")}, &out, &err); got != storeFailed {
		t.Errorf("status %d", got)
	}
	if _, failed := os.Stat(filepath.Join(dir, "none")); failed == nil {
		t.Error("a check made a folder")
	}
	if got := run([]string{"store", "check"}, &out, &err); got != storeFailed {
		t.Errorf("status %d", got)
	}
	if got := run([]string{"store"}, &out, &err); got != storeSound {
		t.Errorf("status %d", got)
	}
	disk, failed := vfs.OpenDisk(filepath.Join(dir, "jetstream"), vfs.DiskOptions{})
	if failed != nil {
		t.Fatal(failed)
	}
	e, _, failed := engine.Open(disk, engine.Options{})
	if failed != nil {
		t.Fatal(failed)
	}
	defer e.Close()
	for _, verb := range []string{"check", "stats", "dump"} {
		_, text = storeSays(t, dir, storeHeld, verb)
		wantText(t, text, "is in use: stop its server first")
	}
}
