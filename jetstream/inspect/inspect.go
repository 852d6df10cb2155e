package inspect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"peregrine/jetstream/engine"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// ErrEmpty is a directory in which there is nothing of an engine.
var ErrEmpty = errors.New("inspect: no catalog, commit log, stream or consumer here")

// Options say how to look.
type Options struct {
	// Keys open what is encrypted; without the right one only sums are checked.
	Keys []store.Key
	// Only, if set, restricts Check, Stats and Dump to parts whose name it accepts.
	Only func(part string) bool
	// Progress, if set, is told of bytes read, of how many in all, and where.
	Progress func(done, total int64, at string)
}

// A Directory is a data directory that is locked and looked at.
type Directory struct {
	fs    vfs.FS
	locks []io.Closer

	catalog   bool
	logs      []string
	streams   []string
	consumers []consumer
	unknown   []string
	tails     []string // log records that were set aside
	kept      []string // quarantine folders
	total     int64    // bytes of all files
}

// consumer is where one consumer's files are.
type consumer struct{ dir, name string }

func (c consumer) path() string { return path.Join(c.dir, c.name) }

// Open finds the parts below the root of fsys, which should be read-only, and
// locks them. Errors: vfs.ErrLocked while a server has them, ErrEmpty, those of
// the file system.
func Open(fsys vfs.FS) (*Directory, error) {
	d := &Directory{fs: fsys}
	if err := d.walk("."); err != nil {
		d.Close()
		return nil, err
	}
	if !d.catalog && len(d.logs)+len(d.streams)+len(d.consumers) == 0 {
		d.Close()
		return nil, ErrEmpty
	}
	return d, nil
}

// Close gives the locks back.
func (d *Directory) Close() {
	for _, l := range d.locks {
		l.Close() // only a lock
	}
	d.locks = nil
}

// Streams, Consumers and Logs are the names of the parts that were found.
func (d *Directory) Streams() []string { return d.streams }

// Logs are the folders of commit logs.
func (d *Directory) Logs() []string { return d.logs }

const quarantineDir = "quarantine"

// walk takes a folder and those below.
func (d *Directory) walk(dir string) error {
	entries, err := d.fs.List(dir)
	if err != nil {
		return err
	}
	// The lock comes first: nothing below may change while it is looked at.
	for _, e := range entries {
		if !e.Dir && (e.Name == "lock" || e.Name == "LOCK") {
			if err := d.lock(path.Join(dir, e.Name)); err != nil {
				return err
			}
		}
	}
	f := &folder{names: map[string]bool{}}
	for _, e := range entries {
		full := path.Join(dir, e.Name)
		switch {
		case !e.Dir:
			d.total += e.Size
			f.take(e.Name)
		case e.Name == quarantineDir:
			d.kept = append(d.kept, full)
		default:
			if err := d.walk(full); err != nil {
				return err
			}
		}
	}
	d.note(dir, f)
	return nil
}

// lock takes a lock that is there; without the file nobody has it.
func (d *Directory) lock(name string) error {
	l, err := d.fs.Lock(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	d.locks = append(d.locks, l)
	return nil
}

// folder is what the names in a folder say.
type folder struct {
	names     map[string]bool
	stream    bool
	log       bool
	catalog   bool
	consumers []string // base names, in order
	others    []string
	tails     []string
}

func (f *folder) take(name string) {
	f.names[name] = true
	base, end := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
	twin := end == ".a" || end == ".b"
	switch {
	case twin && base == "state" || end == ".blk":
		f.stream = true
	case twin && base == "catalog":
		f.catalog = true
	case name == "meta" || strings.HasPrefix(name, "seg-") && (end == ".log" || end == ".new"):
		f.log = true
	case twin && len(f.consumers) > 0 && f.consumers[len(f.consumers)-1] == base:
	case twin:
		f.consumers = append(f.consumers, base)
	case name == "lock" || name == "LOCK":
	case end == ".tail":
		f.tails = append(f.tails, name)
	default:
		f.others = append(f.others, name)
	}
}

// note takes the parts of a folder.
func (d *Directory) note(dir string, f *folder) {
	if f.log {
		d.logs = append(d.logs, dir)
	}
	for _, name := range f.tails {
		d.tails = append(d.tails, path.Join(dir, name))
	}
	if f.stream {
		d.streams = append(d.streams, dir)
		return // its own check knows its files
	}
	d.catalog = d.catalog || f.catalog && dir == "."
	for _, name := range f.consumers {
		d.consumers = append(d.consumers, consumer{dir, name})
	}
	for _, name := range f.others {
		d.unknown = append(d.unknown, path.Join(dir, name))
	}
}

// look is one pass over a directory.
type look struct {
	*Directory
	Options
	report *Report
	done   int64
	goal   int64
	at     string
}

func (d *Directory) look(o Options) *look {
	return &look{Directory: d, Options: o, goal: d.total, report: &Report{Sound: true,
		Logs: []Log{}, Streams: []Stream{}, Consumers: []Consumer{}, Findings: []Finding{}}}
}

func (l *look) wants(part string) bool { return l.Only == nil || l.Only(part) }

// read takes note of progress.
func (l *look) read(n int64) {
	l.done += n
	l.report.Bytes += n
	if l.Progress != nil {
		l.Progress(l.done, max(l.goal, l.done), l.at)
	}
}

// Check reads everything and then has the engine open it on an overlay.
func (d *Directory) Check(o Options) (*Report, error) {
	l := d.look(o)
	if err := l.parts(false); err != nil {
		return nil, err
	}
	for _, name := range d.kept {
		l.report.add(finding(store.Note, name, -1, "holds files that were set aside"))
	}
	for _, name := range d.tails {
		if err := l.tail(name); err != nil {
			return nil, err
		}
	}
	for _, name := range d.unknown {
		l.report.add(finding(store.Note, name, -1, "is not a file of the engine"))
	}
	if d.catalog && l.Only == nil {
		if err := l.rehearse(); err != nil {
			return nil, err
		}
	}
	l.report.sort()
	return l.report, nil
}

// Stats reads what describes the parts, not the messages.
func (d *Directory) Stats(o Options) (*Report, error) {
	l := d.look(o)
	if err := l.parts(true); err != nil {
		return nil, err
	}
	l.report.sort()
	return l.report, nil
}

// parts looks at each part.
func (l *look) parts(shallow bool) error {
	if l.catalog && l.Only == nil {
		if err := l.lookAtCatalog(); err != nil {
			return err
		}
	}
	for _, dir := range l.logs {
		if l.wants(dir) {
			if err := l.log(dir, nil); err != nil {
				return err
			}
		}
	}
	for _, dir := range l.streams {
		if l.wants(dir) {
			if err := l.stream(dir, store.Inspector{Shallow: shallow}); err != nil {
				return err
			}
		}
	}
	for _, c := range l.Directory.consumers {
		if l.wants(c.path()) {
			if err := l.consumer(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *look) lookAtCatalog() error {
	in, err := engine.InspectCatalog(l.fs, l.Keys)
	if err != nil {
		return err
	}
	l.at = "catalog"
	l.read(in.Bytes)
	l.report.add(in.Findings...)
	c := &Catalog{Locked: in.Locked, Position: in.Position.String()}
	for _, e := range in.Entries {
		switch {
		case e.Doomed:
			c.Deleted++
		case e.Stream == 0:
			c.Streams++
		default:
			c.Consumers++
		}
	}
	l.report.Catalog = c
	return nil
}

// stream looks at one stream; tell is completed.
func (l *look) stream(dir string, tell store.Inspector) error {
	l.at, tell.Read = dir, l.read
	in, err := store.Inspect(store.Files{FS: l.fs, Dir: dir, Keys: l.Keys}, tell)
	if err != nil {
		return fmt.Errorf("inspect: stream %s: %w", dir, err)
	}
	l.report.add(in.Findings...)
	l.report.Omitted += in.Omitted
	s := Stream{Dir: dir, Locked: in.Locked, Encrypted: in.Cipher != store.NoCipher, Messages: in.State.Msgs, Bytes: in.State.Bytes,
		First: uint64(in.State.First), Last: uint64(in.State.Last), Deleted: in.State.NumDeleted, Subjects: in.State.Subjects,
		Blocks: len(in.Blocks), Checkpoint: in.Generation, Position: position(in.Position)}
	for _, b := range in.Blocks {
		s.Held += int64(b.Bytes)
		s.Live += int64(b.Live)
		s.OnDisk += b.Stored
	}
	l.report.Streams = append(l.report.Streams, s)
	return nil
}

// tail looks at log records that were set aside for an asset that could not be
// opened.
func (l *look) tail(name string) error {
	l.at = name
	n, bytes, err := engine.InspectTail(l.fs, name)
	l.read(bytes)
	switch {
	case errors.Is(err, engine.ErrCorrupt):
		l.report.add(finding(store.Damage, name, bytes, fmt.Sprintf("log records that were set aside are not valid: %v", err)))
	case err != nil:
		return err
	default:
		l.report.add(finding(store.Note, name, -1, fmt.Sprintf("holds %d log records that are replayed when their owner can be opened", n)))
	}
	return nil
}

func (l *look) consumer(c consumer) error {
	l.at = c.path()
	in, err := store.InspectConsumer(store.Files{FS: l.fs, Dir: c.dir, Keys: l.Keys}, c.name)
	if err != nil {
		return fmt.Errorf("inspect: consumer %s: %w", c.path(), err)
	}
	l.read(in.Bytes)
	l.report.add(in.Findings...)
	l.report.Consumers = append(l.report.Consumers, Consumer{Name: c.path(), Locked: in.Locked,
		Delivered: uint64(in.Delivered.Stream), Deliveries: uint64(in.Delivered.Delivery),
		AckFloor: uint64(in.AckFloor.Stream), Pending: len(in.Pending), Position: position(in.Position)})
	return nil
}
