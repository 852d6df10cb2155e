package inspect

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/engine"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	streams  = 3
	messages = 60
)

// options are small ones, so that there are many files.
func options(keys []store.Key) engine.Options {
	stream := func(id engine.ID, _ []byte) engine.StreamOptions {
		return engine.StreamOptions{Options: store.Options{BlockBytes: 4000, ChunkBytes: 900}, FlushBytes: 1500, Keys: keys, Compress: id%2 == 0}
	}
	return engine.Options{
		Log: commitlog.Options{SegmentBytesMin: 16 << 10, SegmentBytesMax: 32 << 10, SettleAfter: -1}, Keys: keys,
		Stream: stream, Consumer: func(engine.ID, engine.ID, []byte) []store.Key { return keys }, Workers: 1,
	}
}

// application reports what is durable.
type application struct{ durable chan engine.Mark }

func (a application) Turn(int64) bool { return false }
func (a application) Durable(m engine.Mark) {
	select {
	case <-a.durable:
	default:
	}
	a.durable <- m
}
func (a application) Failed(*engine.Stream, *engine.Consumer, error) {}

// directory is what an engine made: as it is while it runs, with everything
// durable, and closed.
func directory(t testing.TB, keys []store.Key) (running, closed *vfs.Mem) {
	disk := vfs.NewMem()
	o := options(keys)
	e, _, err := engine.Open(disk, o)
	must(t, err)
	app := application{make(chan engine.Mark, 1)}
	e.Start(func(*engine.Shard) engine.App { return app })
	on := func(f func(s *engine.Shard)) {
		done := make(chan struct{})
		e.Shards()[0].Do(func(s *engine.Shard) { f(s); close(done) })
		<-done
	}
	var all []*engine.Stream
	for range streams {
		made := make(chan *engine.Stream, 1)
		on(func(s *engine.Shard) {
			s.CreateStream([]byte("meta"), o.Stream(engine.ID(len(all)), nil), func(st *engine.Stream, err error) {
				must(t, err)
				made <- st
			})
		})
		all = append(all, <-made)
	}
	var mark engine.Mark
	on(func(s *engine.Shard) {
		c, err := s.CreateConsumer(all[0], nil)
		must(t, err)
		must(t, c.State.Apply(&store.ConsumerChange{Delivered: store.Position{Delivery: 3, Stream: 3}}))
	})
	for k := range messages {
		on(func(s *engine.Shard) {
			for i, st := range all {
				m := message(i, k)
				_, err := st.Messages.Append(&m)
				must(t, err)
			}
			if k%20 == 10 {
				must(t, all[1].Messages.Remove(store.Seq(k)))
			}
			mark = s.Mark()
		})
	}
	for m := range app.durable {
		if m >= mark {
			break
		}
	}
	running = disk.Clone()
	must(t, e.Close())
	return running, disk
}

func message(stream, k int) store.Message {
	return store.Message{Time: int64(k + 1), Subject: fmt.Appendf(nil, "s%d.%d", stream, k%5),
		Payload: fmt.Appendf(nil, "payload %d of stream %d %s", k, stream, strings.Repeat("x", k*5))}
}

// reading is a file system that opens files to read and does nothing else.
type reading struct{ *vfs.Mem }

var errWrites = errors.New("it writes")

func (r reading) Open(name string, flag vfs.Flag) (vfs.File, error) {
	if flag&^vfs.Direct != 0 {
		return nil, errWrites
	}
	return r.Mem.Open(name, flag)
}
func (r reading) Remove(string) error         { return errWrites }
func (r reading) Rename(string, string) error { return errWrites }
func (r reading) MkdirAll(string) error       { return errWrites }
func (r reading) SyncDir(string) error        { return errWrites }

func check(t testing.TB, disk *vfs.Mem, o Options) *Report {
	t.Helper()
	d, err := Open(reading{disk})
	must(t, err)
	defer d.Close()
	r, err := d.Check(o)
	must(t, err)
	return r
}

func TestSound(t *testing.T) {
	for _, keys := range [][]store.Key{nil, {store.DeriveKey(store.ChaCha, "a", "b", "c")}} {
		running, closed := directory(t, keys)
		for name, disk := range map[string]*vfs.Mem{"running": running, "closed": closed} {
			r := check(t, disk, Options{Keys: keys})
			if !r.Sound || r.Severity() > store.Note || len(r.Streams) != streams || len(r.Consumers) > 1 || len(r.Logs) != 1 ||
				r.Catalog == nil || r.Opened == nil || r.Opened.Error != "" {
				t.Fatalf("%s: %+v", name, r)
			}
			if want := uint64(streams*messages - 3); r.Opened.Messages != want {
				t.Errorf("%s: %d messages, want %d", name, r.Opened.Messages, want)
			}
		}
		r := check(t, closed, Options{Keys: keys})
		if r.Streams[0].Messages != messages || r.Streams[1].Deleted != 3 || r.Streams[0].Subjects != 5 ||
			len(r.Consumers) != 1 || r.Consumers[0].Delivered != 3 || !r.Logs[0].Clean {
			t.Errorf("%+v", r)
		}
	}
}

// Without the key nothing is wrong, and what can be checked is.
func TestLocked(t *testing.T) {
	_, closed := directory(t, []store.Key{store.DeriveKey(store.AES, "a", "b", "c")})
	r := check(t, closed, Options{})
	if r.Severity() > store.Note || !r.Streams[0].Locked || !r.Catalog.Locked || len(r.Findings) == 0 {
		t.Fatalf("%+v", r)
	}
}

// files lists all files below a folder.
func files(t testing.TB, disk *vfs.Mem, dir string) (all []string) {
	entries, err := disk.List(dir)
	must(t, err)
	for _, e := range entries {
		if name := path.Join(dir, e.Name); e.Dir {
			all = append(all, files(t, disk, name)...)
		} else {
			all = append(all, name)
		}
	}
	return all
}

// readable opens what is left and tells whether every message is what it was.
func readable(t testing.TB, disk *vfs.Mem, keys []store.Key) error {
	e, report, err := engine.Open(disk, options(keys))
	if err != nil {
		return err
	}
	defer e.Close()
	if report.Streams != streams || report.Consumers != 1 {
		return fmt.Errorf("%d streams, %d consumers: %v", report.Streams, report.Consumers, report.Broken)
	}
	e.Shards()[0].Streams(func(st *engine.Stream) {
		// Numbers 16 to 18; the consumer came after them.
		i := int(st.ID() - 16)
		for k := range messages {
			want := message(i, k)
			var m store.Message
			seq := store.Seq(k + 1)
			gone := i == 1 && (k+1)%20 == 10
			if loadErr := st.Messages.Load(seq, &m); gone {
				if !errors.Is(loadErr, store.ErrNotFound) && err == nil {
					err = fmt.Errorf("removed message %d: %w", seq, loadErr)
				}
			} else if (loadErr != nil || string(m.Payload) != string(want.Payload)) && err == nil {
				err = fmt.Errorf("stream %d, message %d: %q, %v", i, seq, m.Payload, loadErr)
			}
		}
	})
	return err
}

// However a directory is damaged, looking at it ends in a report; what the engine
// cannot give out any more is reported as damage, with the file.
func TestDamage(t *testing.T) {
	running, closed := directory(t, nil)
	must(t, readable(t, closed.Clone(), nil))
	must(t, readable(t, running.Clone(), nil))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	seen := map[store.Severity]int{}
	for _, disk := range []*vfs.Mem{running, closed} {
		all := files(t, disk, ".")
		last := ""
		for _, s := range check(t, disk, Options{}).Logs[0].Segments {
			if s.Used > 2*vfs.BlockSize {
				last = path.Join("log", s.File)
			}
		}
		for range 250 {
			name := all[random.IntN(len(all))]
			broken, what := damaged(t, disk, name, random)
			r := check(t, broken, Options{})
			seen[r.Severity()]++
			if disk == running && name == last {
				continue // the last batch of a log that is not settled: see package commitlog, Failure
			}
			if err := readable(t, broken, nil); err != nil && r.Severity() != store.Damage {
				t.Errorf("%s: %v, but the findings are %+v", what, err, r.Findings)
			}
		}
	}
	if len(seen) < 3 {
		t.Errorf("only these severities were seen: %v", seen)
	}
}

func damaged(t testing.TB, disk *vfs.Mem, name string, random *rand.Rand) (*vfs.Mem, string) {
	broken := disk.Clone()
	e, err := broken.Stat(name)
	must(t, err)
	what := "remove " + name
	switch n := random.IntN(8); {
	case n == 0 || e.Size == 0:
		must(t, broken.Remove(name))
	case n == 1:
		size := random.Int64N(e.Size)
		what = fmt.Sprintf("cut %s to %d", name, size)
		must(t, broken.Cut(name, size))
	case n == 2:
		off := random.Int64N(e.Size)
		what = fmt.Sprintf("noise in %s from %d", name, off)
		must(t, broken.Corrupt(name, func(b []byte) []byte {
			for i := off; i < min(off+500, int64(len(b))); i++ {
				b[i] = byte(random.Uint32())
			}
			return b
		}))
	default:
		bit := random.Int64N(min(e.Size, 12<<10) * 8)
		what = fmt.Sprintf("bit %d of byte %d of %s", bit%8, bit/8, name)
		must(t, broken.FlipBit(name, bit))
	}
	return broken, what
}

// Findings name the place.
func TestPlaces(t *testing.T) {
	_, closed := directory(t, nil)
	const stream = "streams/0000000000000011/messages/"
	for what, c := range map[string]struct {
		file     string
		offset   int64 // that is damaged
		severity store.Severity
		at       int64 // that is told
	}{
		"a record":            {stream + "00000000.0.blk", 64 + 40, store.Damage, 64},
		"a state":             {stream + "state.b", 50, store.Repairable, 0},
		"a consumer":          {"streams/0000000000000010/consumers/0000000000000013.a", 9, store.Repairable, 0},
		"a catalog":           {"catalog.b", 9, store.Repairable, 0},
		"the log's metadata":  {"log/meta", 4096 + 9, store.Repairable, 4096},
		"a header of the log": {"log/seg-000001.log", 9, store.Repairable, 0},
	} {
		broken := closed.Clone()
		must(t, broken.FlipBit(c.file, c.offset*8))
		r := check(t, broken, Options{})
		found := false
		for _, f := range r.Findings {
			found = found || f.File == c.file && f.Severity == c.severity.String() && f.Offset == c.at
		}
		if !found || r.Severity() != c.severity {
			t.Errorf("%s: %v", what, r.Findings)
		}
	}
}

// A server that runs is not disturbed, and one that starts meanwhile waits.
func TestLocks(t *testing.T) {
	disk, err := vfs.OpenDisk(t.TempDir(), vfs.DiskOptions{})
	must(t, err)
	e, _, err := engine.Open(disk, engine.Options{})
	must(t, err)
	reader, err := vfs.OpenDisk(disk.Root(), vfs.DiskOptions{ReadOnly: true})
	must(t, err)
	if _, err := Open(reader); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("opened beside a server: %v", err)
	}
	must(t, e.Close())
	d, err := Open(reader)
	must(t, err)
	if _, _, err := engine.Open(disk, engine.Options{}); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("a server started meanwhile: %v", err)
	}
	d.Close()
	e, _, err = engine.Open(disk, engine.Options{})
	must(t, err)
	must(t, e.Close())
}

func TestEmpty(t *testing.T) {
	disk := vfs.NewMem()
	must(t, vfs.WriteFile(disk, "something", []byte("else")))
	if _, err := Open(reading{disk}); !errors.Is(err, ErrEmpty) {
		t.Fatalf("error %v", err)
	}
}

// What a rehearsal says is what an opening does.
func TestRehearse(t *testing.T) {
	_, closed := directory(t, nil)
	must(t, closed.FlipBit("streams/0000000000000011/messages/state.b", 80))
	must(t, closed.MkdirAll("streams/0000000000000099"))
	must(t, vfs.WriteFile(closed, "streams/0000000000000099/file", []byte("mine")))
	d, err := Open(reading{closed})
	must(t, err)
	r, err := d.Rehearse(Options{})
	must(t, err)
	d.Close()
	kinds := map[string]string{}
	for _, c := range r.Opened.Changes {
		kinds[c.File] = c.Kind
	}
	if kinds["streams/0000000000000011/messages/state.b"] != "write" || kinds["quarantine/0000000000000099/file"] != "rename" ||
		kinds["log/meta"] != "write" || len(kinds) != 3 {
		t.Errorf("changes %v", r.Opened.Changes)
	}
	e, _, err := engine.Open(closed, options(nil))
	must(t, err)
	defer e.Close()
	if b, err := vfs.ReadFile(closed, "quarantine/0000000000000099/file", 9); string(b) != "mine" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestDump(t *testing.T) {
	running, closed := directory(t, nil)
	live, logged := 0, 0
	d, err := Open(reading{closed})
	must(t, err)
	defer d.Close()
	_, err = d.Dump(Options{}, Sink{
		Message: func(_, file string, offset int64, m *store.Message, alive bool) error {
			if alive {
				live++
			}
			return nil
		},
		Record: func(file string, r commitlog.Record, text string) error { return nil },
	})
	must(t, err)
	if live != streams*messages-3 {
		t.Errorf("%d live messages", live)
	}
	d, err = Open(reading{running})
	must(t, err)
	defer d.Close()
	_, err = d.Dump(Options{}, Sink{Record: func(file string, r commitlog.Record, text string) error {
		if strings.HasPrefix(text, "message ") && strings.HasPrefix(file, "log/seg-") {
			logged++
		}
		if logged == 10 {
			return ErrStop
		}
		return nil
	}})
	must(t, err)
	if logged != 10 {
		t.Errorf("%d messages in the log", logged)
	}
}

// What could not be opened leaves its log records in a file of its own, which is
// looked at, too.
func TestTails(t *testing.T) {
	running, _ := directory(t, nil)
	const stream = "streams/0000000000000010/"
	for _, name := range []string{"state.a", "state.b"} {
		must(t, running.FlipBit(stream+"messages/"+name, 80))
	}
	disk := running.Clone()
	e, report, err := engine.Open(disk, options(nil))
	must(t, err)
	if len(report.Broken) == 0 {
		t.Fatalf("%+v", report)
	}
	must(t, e.Close())
	tail := stream + "messages.tail"
	told := func(disk *vfs.Mem, severity store.Severity) bool {
		for _, f := range check(t, disk, Options{}).Findings {
			if f.File == tail && f.Severity == severity.String() {
				return true
			}
		}
		return false
	}
	if !told(disk, store.Note) {
		t.Error("nothing of the tail")
	}
	must(t, disk.FlipBit(tail, 8*100))
	if !told(disk, store.Damage) {
		t.Error("nothing of the damaged tail")
	}
}
