package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

// Open opens a data directory, fsys's root, or makes it if it is empty: it reads
// the catalog, opens streams and consumers, several at a time, and replays the log.
// A stream that cannot be opened is in the report and left alone; what stops Open
// as a whole is ErrCorrupt (the catalog), ErrLogLost, ErrKey, vfs.ErrLocked and
// what the disk says. Then Start it, or call Close.
func Open(fsys vfs.FS, o Options) (*Engine, *Report, error) {
	o = o.withDefaults()
	e := &Engine{fs: fsys, options: o, ring: newKeyring(o), tasks: newQueue()}
	for i := range o.Shards {
		e.shards = append(e.shards, newShard(e, i))
	}
	p := &opening{e: e, report: &Report{Stores: map[ID]*store.Report{}, Broken: map[ID]error{}}}
	p.opener.ring = e.ring
	if err := p.run(); err != nil {
		if e.lock != nil {
			e.closeFiles()
		}
		return nil, p.report, err
	}
	return e, p.report, nil
}

// opening is the making of an Engine.
type opening struct {
	e      *Engine
	report *Report
	opener recordOpener

	mu      sync.Mutex                // guards report while streams are opened in parallel
	found   bool                      // there was a catalog
	unknown map[commitlog.OwnerID]int // records
	tails   map[ID]*tailWriter        // of what is broken or unknown
	gone    map[ID]bool               // was deleted
	largest ID
}

func (p *opening) run() error {
	e := p.e
	var err error
	if e.lock, err = e.fs.Lock(lockName); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if err := e.fs.MkdirAll(streamsDir); err != nil {
		return fmt.Errorf("engine: make %s: %w", streamsDir, err)
	}
	if e.catalog, p.found, err = readCatalog(e.fs, e.ring, e.options.Logf); err != nil {
		return err
	}
	if !p.found {
		e.catalog = newCatalog()
		if err := p.vacant(); err != nil {
			return err
		}
	}
	p.report.Fresh = !p.found
	if err := p.openAll(); err != nil {
		return err
	}
	p.unknown, p.gone = map[commitlog.OwnerID]int{}, map[ID]bool{}
	if p.found {
		e.options.Log.Expect = e.catalog.identity
		e.options.Log.Proof = p.proof()
	}
	e.log, p.report.Log, err = commitlog.Open(e.fs, logDir, e.options.Log, commitlog.Replay{Record: p.record, Damaged: p.damage})
	if errors.Is(err, commitlog.ErrForeign) {
		err = fmt.Errorf("%w: %w", ErrLogLost, err)
	}
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	for _, n := range p.unknown {
		p.report.Unknown += n
	}
	if err := p.checkLog(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(p.report.Broken)) {
		e.options.Logf("engine: %d is not opened: %v", id, p.report.Broken[id])
	}
	if err := p.spill(); err != nil {
		return err
	}
	if err := p.keepCatalog(); err != nil {
		return err
	}
	if err := p.tidy(); err != nil {
		return err
	}
	return p.claim()
}

// proof is how far the log was on disk, as checkpoints and catalog say.
func (p *opening) proof() commitlog.Position {
	most := p.e.catalog.position
	for _, s := range p.e.shards {
		for _, st := range s.list {
			most = max(most, st.position)
		}
		for _, c := range s.consumers {
			most = max(most, c.position)
		}
	}
	return most
}

// vacant tells whether a directory without a catalog has streams.
func (p *opening) vacant() error {
	entries, err := p.e.fs.List(streamsDir)
	if err != nil {
		return fmt.Errorf("engine: list %s: %w", streamsDir, err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("engine: no catalog beside %s: %w", path.Join(streamsDir, entries[0].Name), ErrCorrupt)
	}
	return nil
}

// checkLog tells whether the log may be without a catalog.
func (p *opening) checkLog() error {
	log := p.report.Log
	if p.found {
		return nil // Expect
	}
	if log.Records > 0 {
		return fmt.Errorf("engine: no catalog beside a log with %d records: %w", log.Records, ErrCorrupt)
	}
	p.e.catalog.identity = log.Identity
	return nil
}

// keepCatalog writes the catalog's files if they are new or get another key.
func (p *opening) keepCatalog() error {
	e := p.e
	fresh, err := e.ring.fill()
	if err != nil {
		return err
	}
	if p.found && !fresh && !e.ring.stale {
		return nil
	}
	content, err := e.catalog.encode(e.catalog.generation+1, e.catalog.position, e.ring)
	if err != nil {
		return err
	}
	if p.found {
		err = writeCatalog(e.fs, content)
	} else {
		for _, name := range catalogNames {
			if err = vfs.WriteFile(e.fs, name, content); err != nil {
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("engine: write the catalog: %w", err)
	}
	e.catalog.generation++
	return nil
}

// openAll opens what the catalog has.
func (p *opening) openAll() error {
	var group sync.WaitGroup
	limit := make(chan struct{}, p.e.options.Workers)
	each := func(want func(*entry) bool, open func(*entry)) {
		for _, x := range p.e.catalog.all() {
			if x.doomed || !want(x) {
				continue
			}
			if p.e.options.Workers == 1 {
				open(x)
				continue
			}
			limit <- struct{}{}
			group.Add(1)
			go func() {
				defer group.Done()
				open(x)
				<-limit
			}()
		}
		group.Wait()
	}
	each(func(x *entry) bool { return x.stream == 0 }, p.openStream)
	each(func(x *entry) bool { return x.stream != 0 }, p.openConsumer)
	for _, err := range p.report.Broken {
		if errors.Is(err, vfs.ErrCrashed) {
			return err
		}
	}
	return nil
}

// openStream opens a stream of the catalog.
func (p *opening) openStream(x *entry) {
	e := p.e
	s := e.shards[uint64(x.id)%uint64(len(e.shards))]
	o := e.options.Stream(x.id, x.meta)
	st := s.newStream(x.id, x.meta, o)
	o.Options.Log = &st.asset
	files := e.files(x.id, &o)
	var report *store.Report
	// Its folder was made before its entry: without it, something is lost.
	there, err := store.Exists(files)
	if err == nil && !there {
		err = fmt.Errorf("engine: nothing in %s: %w", files.Dir, ErrCorrupt)
	}
	if err == nil {
		st.Messages, report, err = store.Open(o.Options, files)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.broken(x.id, err)
		return
	}
	if len(report.Damage)+len(report.Lost)+len(report.Quarantined) > 0 {
		p.report.Stores[x.id] = report
	}
	st.position = commitlog.Position(report.Position)
	st.marked, st.saved = 0, 0
	s.join(st)
	p.report.Streams++
	p.replayTail(&st.asset, 0)
}

// openConsumer opens a consumer of the catalog.
func (p *opening) openConsumer(x *entry) {
	e := p.e
	p.mu.Lock()
	st := e.shards[uint64(x.stream)%uint64(len(e.shards))].streams[x.stream]
	p.mu.Unlock()
	if st == nil {
		p.mu.Lock()
		p.broken(x.id, fmt.Errorf("engine: consumer of stream %d, which is not open: %w", x.stream, ErrCorrupt))
		p.mu.Unlock()
		return
	}
	c := &Consumer{stream: st}
	c.asset = asset{id: x.id, meta: x.meta, shard: st.shard, kept: c}
	state, position, err := store.OpenConsumer(&c.asset, e.consumerFiles(x.id, x.stream, x.meta), consumerName(x.id))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.broken(x.id, err)
		return
	}
	c.State, c.position = state, commitlog.Position(position)
	st.consumers[x.id] = c
	st.shard.consumers[x.id] = c
	p.report.Consumers++
	p.replayTail(&c.asset, x.stream)
}

func (p *opening) broken(id ID, err error) {
	p.report.Broken[id] = err
}

// mend forgets that something is broken whose deletion was replayed: its files may
// be gone since.
func (p *opening) mend(id ID) {
	delete(p.report.Broken, id)
	delete(p.report.Stores, id)
	for other := range p.report.Broken {
		if x := p.e.catalog.find(other); x != nil && x.stream == id {
			delete(p.report.Broken, other)
		}
	}
}

// find is the open asset of an owner, nil if there is none.
func (e *Engine) find(id ID) *asset {
	for _, s := range e.shards {
		if st := s.streams[id]; st != nil {
			return &st.asset
		}
		if c := s.consumers[id]; c != nil {
			return &c.asset
		}
	}
	return nil
}

// tidy removes what was deleted and moves away what the catalog does not know.
func (p *opening) tidy() error {
	e := p.e
	for _, x := range e.catalog.all() {
		p.largest = max(p.largest, x.id)
		if !x.doomed {
			continue
		}
		remove := func() error { return e.removeStream(x.id) }
		if x.stream != 0 {
			remove = func() error { return e.removeConsumer(x.id, x.stream) }
		}
		if err := remove(); err != nil {
			return fmt.Errorf("engine: remove %d, which was deleted: %w", x.id, err)
		}
		e.catalog.gone(x.id)
		p.gone[x.id] = true
	}
	return p.orphans()
}

// orphans moves to quarantine what has no entry: what a crash left of a creation,
// or what nobody knows.
func (p *opening) orphans() error {
	e := p.e
	entries, err := e.fs.List(streamsDir)
	if err != nil {
		return fmt.Errorf("engine: list %s: %w", streamsDir, err)
	}
	for _, f := range entries {
		if base, gone := strings.CutSuffix(f.Name, goneSuffix); gone {
			if _, ok := idOfName(base); ok {
				if err := vfs.RemoveAll(e.fs, path.Join(streamsDir, f.Name)); err != nil {
					return fmt.Errorf("engine: remove %s: %w", path.Join(streamsDir, f.Name), err)
				}
				continue
			}
		}
		id, known := idOfName(f.Name)
		p.largest = max(p.largest, id)
		if x := e.catalog.find(id); known && x != nil && x.stream == 0 {
			if err := p.orphanConsumers(id); err != nil {
				return err
			}
			continue
		}
		if err := p.quarantine(streamsDir, f.Name); err != nil {
			return fmt.Errorf("engine: quarantine %s: %w", path.Join(streamsDir, f.Name), err)
		}
	}
	return nil
}

// orphanConsumers is orphans for the consumers of a stream.
func (p *opening) orphanConsumers(stream ID) error {
	e := p.e
	dir := path.Join(streamDir(stream), consumersDir)
	entries, err := e.fs.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("engine: list %s: %w", dir, err)
	}
	for _, f := range entries {
		base, _, _ := strings.Cut(f.Name, ".")
		id, known := idOfName(base)
		if x := e.catalog.find(id); known && x != nil && x.stream == stream {
			continue
		}
		if err := p.quarantine(dir, f.Name); err != nil {
			return fmt.Errorf("engine: quarantine %s: %w", path.Join(dir, f.Name), err)
		}
	}
	return nil
}

// idOfName is the id that a name in a folder stands for.
func idOfName(name string) (ID, bool) {
	id, err := strconv.ParseUint(name, 16, 63)
	if err != nil || consumerName(ID(id)) != name {
		return 0, false
	}
	return ID(id), true
}

// quarantine moves a file or folder away, keeping its place in the tree.
func (p *opening) quarantine(dir, name string) error {
	fsys := p.e.fs
	target := quarantineDir
	if dir != streamsDir {
		target = path.Join(quarantineDir, dir)
	}
	if err := fsys.MkdirAll(target); err != nil {
		return err
	}
	to := path.Join(target, name)
	for i := 1; ; i++ {
		if _, err := fsys.Stat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		to = path.Join(target, fmt.Sprintf("%s.%d", name, i))
	}
	p.e.options.Logf("engine: the catalog does not know %s: moved to %s", path.Join(dir, name), to)
	p.report.Quarantined = append(p.report.Quarantined, to)
	// The folders first: what is moved must have a place that lasts.
	for d := target; d != "."; d = path.Dir(d) {
		if err := fsys.SyncDir(path.Dir(d)); err != nil {
			return err
		}
	}
	if err := fsys.Rename(path.Join(dir, name), to); err != nil {
		return err
	}
	if err := fsys.SyncDir(target); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// claim takes the owners over from the log and lets it forget what it may.
func (p *opening) claim() error {
	e := p.e
	for _, s := range e.shards {
		var err error
		if s.sealer, err = e.ring.newSealer(); err != nil {
			return err
		}
		s.writer = e.log.NewWriter(logEvents{s})
		s.end = p.report.Log.End
		for _, st := range s.list {
			p.own(&st.asset)
			s.schedule(st, 0)
		}
		for _, id := range slices.Sorted(maps.Keys(s.consumers)) {
			p.own(&s.consumers[id].asset)
		}
		s.mark, s.handed, s.durable, s.synced = 1, 1, 1, 1 // marked of what was replayed
		s.safe.Store(1)
	}
	first := e.shards[0]
	e.catalogOwner = first.writer.Owner(catalogOwner)
	e.catalogOwner.Need(e.catalog.position)
	e.catalog.used(p.largest)
	p.dropUnknown(first)
	p.note()
	return nil
}

// note has the streams that damage of the log concerns write checkpoints, after
// which the log need not tell of it again. What is broken has it in its tail, if that
// could be made.
func (p *opening) note() {
	e := p.e
	if len(p.report.Log.Damages) == 0 {
		return
	}
	e.unnoted.Add(1) // until all are counted
	if p.tails == nil {
		e.unnoted.Add(1)
	}
	for _, s := range e.shards {
		for _, st := range s.list {
			if st.noting {
				e.unnoted.Add(1)
				st.want = true
				s.enqueue(&st.asset)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(s.consumers)) {
			c := s.consumers[id]
			c.want = true // so that nobody needs what is left of the segment
			s.enqueue(&c.asset)
		}
	}
	e.catalog.touch()
	e.noted()
}

func (p *opening) own(a *asset) {
	a.own()
	a.owner.Need(a.position)
	a.want = a.want || a.tail != 0 // so that its tail can go
	if a.want || a.kept.stale() {
		a.shard.enqueue(a)
	}
}

// dropUnknown ends the owners that the log knows and the catalog does not. Those of
// what is broken stay, and need nothing: their records are in tails.
func (p *opening) dropUnknown(s *Shard) {
	for _, id := range p.e.log.Unclaimed() {
		if p.e.catalog.find(ID(id)) != nil {
			if p.tails[ID(id)] != nil {
				s.writer.Owner(id).Need(p.report.Log.End)
			}
			continue
		}
		if p.tails[ID(id)] == nil && !p.gone[ID(id)] {
			continue
		}
		a := &asset{id: ID(id), shard: s, removed: true, kept: nothing{}}
		a.own()
		s.drop(a.owner)
		s.removals = append(s.removals, removal{a: a, mark: s.mark, files: func() error { return nil }})
	}
}

// nothing is what an unknown owner keeps.
type nothing struct{}

func (nothing) begin()            {}
func (nothing) job() *store.Job   { return nil }
func (nothing) finish(*store.Job) {}
func (nothing) unfinished() bool  { return false }
func (nothing) stopped() error    { return nil }
func (nothing) stop(error)        {}
func (nothing) close()            {}

func (nothing) scrub(sc *store.Scrub) *store.Job { return nil }

func (nothing) stale() bool { return false }
