package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"peregrine/internal/storebench"
	"peregrine/jetstream/inspect"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

const storeUsage = `
Usage: peregrine store check  [options] <directory>
       peregrine store stats  [options] <directory>
       peregrine store dump   [options] <directory>
       peregrine store repair --dry-run [options] <directory>
       peregrine store bench  [options] <directory>

Looks at the data directory of a server that is not running, and changes nothing.

check    Reads everything, checks every sum and whether all parts agree, and has the
         engine open it in memory. Tells file and offset of every damage.
stats    What is there: streams, consumers and the commit log, without reading
         messages.
dump     Shows every record of blocks and log, one a line, also those of damaged
         places that are whole.
repair   With --dry-run: what the next start of a server would put right, file by
         file. It does so by itself; this command never does.
bench    Something else: measures the storage engine on the disk of a directory. Its
         options: peregrine store bench --help.

Options:
  --json         one JSON document, or one a line for dump
  --keys FILE    keys of encrypted data, one a line: chacha or aes, then 64
                 hexadecimal digits
  --part NAME    only parts (folders of streams and logs, consumers) whose name
                 contains this
  --no-progress  do not show progress on the standard error
  --from N, --to N, --payload, --no-log
                 for dump: sequences of messages, with payloads, without the log

Status: 0 sound; 1 something will be repaired and nothing is lost; 2 something is
lost; 3 it could not be looked at; 4 a server holds the directory.

`

// Statuses of the store command.
const (
	storeSound = iota
	storeRepairable
	storeDamaged
	storeFailed
	storeHeld
)

// storeOptions are those of the store command.
type storeOptions struct {
	json       bool
	keys       string
	part       string
	noProgress bool
	dryRun     bool
	from, to   uint64
	payload    bool
	noLog      bool
}

// storeRun is one use of the store command.
type storeRun struct {
	storeOptions
	verb           string
	dir            string
	stdout, stderr io.Writer
}

// storeCommand is the sub-command about data directories.
func storeCommand(args []string, stdout, stderr io.Writer) int {
	r := &storeRun{stdout: stdout, stderr: stderr}
	if len(args) > 0 && args[0] == "bench" {
		return storebench.Main(args[1:], stdout, stderr)
	}
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		io.WriteString(stdout, storeUsage)
		return storeSound
	}
	if err := r.parse(args); err != nil {
		fmt.Fprintf(stderr, "%s: store: %v\n", programName, err)
		io.WriteString(stdout, storeUsage)
		return storeFailed
	}
	status, err := r.run()
	switch {
	case errors.Is(err, vfs.ErrLocked):
		fmt.Fprintf(stderr, "%s: %s is in use: stop its server first (%v)\n", programName, r.dir, err)
		return storeHeld
	case err != nil:
		fmt.Fprintf(stderr, "%s: %s: %v\n", programName, r.dir, err)
		return storeFailed
	}
	return status
}

var errNoDirectory = errors.New("say which directory")

func (r *storeRun) parse(args []string) error {
	r.verb = args[0]
	switch r.verb {
	case "check", "stats", "dump", "repair":
	default:
		return fmt.Errorf("unrecognized command: %q", r.verb)
	}
	set := flag.NewFlagSet("store", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&r.json, "json", false, "")
	set.StringVar(&r.keys, "keys", "", "")
	set.StringVar(&r.part, "part", "", "")
	set.BoolVar(&r.noProgress, "no-progress", false, "")
	set.BoolVar(&r.dryRun, "dry-run", false, "")
	set.Uint64Var(&r.from, "from", 0, "")
	set.Uint64Var(&r.to, "to", 1<<64-1, "")
	set.BoolVar(&r.payload, "payload", false, "")
	set.BoolVar(&r.noLog, "no-log", false, "")
	// Options may come behind the directory, too.
	for rest := args[1:]; ; {
		if err := set.Parse(rest); err != nil {
			return err
		}
		if rest = set.Args(); len(rest) == 0 {
			break
		}
		if r.dir != "" {
			return fmt.Errorf("one directory, not %q and %q", r.dir, rest[0])
		}
		r.dir, rest = rest[0], rest[1:]
	}
	if r.dir == "" {
		return errNoDirectory
	}
	if r.verb == "repair" && !r.dryRun {
		return errors.New("repair is done by the next start of a server; use --dry-run to see what it will do")
	}
	return nil
}

// run does what was asked for and returns the status.
func (r *storeRun) run() (int, error) {
	o := inspect.Options{}
	var err error
	if o.Keys, err = readKeys(r.keys); err != nil {
		return storeFailed, err
	}
	if r.part != "" {
		o.Only = func(part string) bool { return strings.Contains(part, r.part) }
	}
	disk, err := vfs.OpenDisk(dataDirectory(r.dir), vfs.DiskOptions{ReadOnly: true})
	if err != nil {
		return storeFailed, err
	}
	d, err := inspect.Open(disk)
	if err != nil {
		return storeFailed, err
	}
	defer d.Close()
	progress := newProgress(r.stderr, r.noProgress)
	o.Progress = progress.show
	var report *inspect.Report
	switch r.verb {
	case "check":
		report, err = d.Check(o)
	case "stats":
		report, err = d.Stats(o)
	case "repair":
		report, err = d.Rehearse(o)
	case "dump":
		report, err = r.dump(d, o)
	}
	progress.end()
	if err != nil {
		return storeFailed, err
	}
	if err := r.print(report); err != nil {
		return storeFailed, err
	}
	return [...]int{storeSound, storeRepairable, storeDamaged}[report.Severity()], nil
}

// dataDirectory is where the engine's files are: dir, or its folder jetstream, as
// in a server's store_dir.
func dataDirectory(dir string) string {
	below := filepath.Join(dir, "jetstream")
	for _, name := range []string{"catalog.a", "catalog.b"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return dir
		}
		if _, err := os.Stat(filepath.Join(below, name)); err == nil {
			return below
		}
	}
	return dir
}

// readKeys reads a file of keys; none without a name.
func readKeys(name string) ([]store.Key, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var keys []store.Key
	for i, line := range strings.Split(string(b), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		k, ok := parseKey(fields)
		if !ok {
			return nil, fmt.Errorf("%s:%d: want chacha or aes, and 64 hexadecimal digits", name, i+1)
		}
		keys = append(keys, k)
	}
	return keys, nil
}
