package commitlog

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"peregrine/vfs"
)

// Open opens the log in dir, makes it if there is none, and replays what it
// holds. Nothing is appended before Open returns. An error leaves the directory
// as a crash would.
func Open(fsys vfs.FS, dir string, options Options, replay Replay) (*Log, *Report, error) {
	options = options.withDefaults()
	o := &opening{
		files:   &files{fs: fsys, dir: dir, block: vfs.Buffer(2 * vfs.BlockSize)},
		options: options,
		report:  &Report{},
	}
	log, err := o.run(replay)
	if err != nil {
		o.close()
		return nil, nil, fmt.Errorf("commitlog: open %s: %w", dir, err)
	}
	o.tell()
	return log, o.report, nil
}

// opening is the making of a Log.
type opening struct {
	files    *files
	options  Options
	report   *Report
	lock     interface{ Close() error }
	hasMeta  bool
	segments []*segment // identified, by number
	repairs  []repair
	slot     uint64 // largest seen
	number   uint64 // largest seen
	missing  uint64 // first of the segments that are missing at the beginning
}

// repair is a bad copy of a segment's header.
type repair struct {
	segment *segment
	copy    int
}

func (o *opening) run(replay Replay) (*Log, error) {
	if err := o.directory(); err != nil {
		return nil, err
	}
	if err := o.readMeta(); err != nil {
		return nil, err
	}
	if err := o.expected(); err != nil {
		return nil, err
	}
	if err := o.readSegments(); err != nil {
		return nil, err
	}
	if !o.hasMeta && o.options.Expect != 0 {
		// Only the segments can tell whose they are.
		o.hasMeta = true
		err := o.expected()
		if o.hasMeta = false; err != nil {
			return nil, err
		}
	}
	if !o.hasMeta && len(o.segments) == 0 {
		if err := o.create(); err != nil {
			return nil, err
		}
	}
	r := &recovery{
		clean:      o.files.meta.clean,
		cleanChain: o.files.meta.chain,
		replay:     replay,
		owners:     map[OwnerID]*ownerSeen{},
		used:       map[*segment]bool{},
	}
	r.window.fence = o.options.FenceUnreadable
	if err := o.recover(r); err != nil {
		return nil, err
	}
	if err := o.secure(r); err != nil {
		return nil, err
	}
	return o.finish(r)
}

// proofMax bounds the segment of a Proof: no disk holds so many.
const proofMax = 1 << 31

// expected tells whether metadata that are there are of the log that the caller
// means.
func (o *opening) expected() error {
	if p := o.options.Proof; p.Segment() >= proofMax {
		return fmt.Errorf("proof %v: %w", p, ErrCorrupt)
	}
	if want := o.options.Expect; want != 0 && o.hasMeta && o.files.meta.log != want {
		return fmt.Errorf("it is %016x, want %016x: %w", o.files.meta.log, want, ErrForeign)
	}
	return nil
}

// directory makes and locks the directory.
func (o *opening) directory() error {
	f := o.files
	if err := f.fs.MkdirAll(f.dir); err != nil {
		return err
	}
	for dir := f.dir; dir != "."; dir = path.Dir(dir) {
		if err := f.fs.SyncDir(path.Dir(dir)); err != nil {
			return err
		}
	}
	lock, err := f.fs.Lock(f.path(lockName))
	if err != nil {
		return err
	}
	o.lock = lock
	return nil
}

// readMeta reads the newer of the two copies, from a file that it makes if there
// is none. The name is synced with those of the segments.
func (o *opening) readMeta() error {
	f := o.files
	file, err := f.fs.Open(f.path(metaName), fileFlags)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = f.fs.Open(f.path(metaName), fileFlags|vfs.Create)
	}
	if err != nil {
		return err
	}
	f.metaFile = file
	if err := f.readBlocks(f.metaFile); err != nil {
		return err
	}
	var bad []string
	for i := range 2 {
		m, ok := metaOf(f.block[i*vfs.BlockSize:], i)
		if !ok {
			bad = append(bad, fmt.Sprintf("%s, copy %d", metaName, i+1))
		} else if !o.hasMeta || m.generation > f.meta.generation {
			f.meta, o.hasMeta = m, true
		}
	}
	if o.hasMeta {
		o.report.Repaired = bad
	}
	return nil
}

// readSegments opens and identifies the segment files.
func (o *opening) readSegments() error {
	entries, err := o.files.fs.List(o.files.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if fresh, ok := strings.CutSuffix(e.Name, freshSuffix); ok {
			if _, ok := slotOf(fresh); ok {
				if err := o.files.fs.Remove(o.files.path(e.Name)); err != nil {
					return err
				}
			}
			continue
		}
		slot, ok := slotOf(e.Name)
		if !ok || e.Dir {
			continue // not ours
		}
		o.slot = max(o.slot, slot)
		if err := o.readSegment(e.Name, slot); err != nil {
			return err
		}
	}
	if err := o.identify(); err != nil {
		return err
	}
	// A process that died may have left names that are not durable yet.
	if err := o.files.fs.SyncDir(o.files.dir); err != nil {
		return err
	}
	slices.SortFunc(o.segments, func(a, b *segment) int { return compare(a.number, b.number) })
	for i := 1; i < len(o.segments); i++ {
		if o.segments[i].number == o.segments[i-1].number {
			return fmt.Errorf("%s and %s are both segment %d: %w",
				o.segments[i-1].name, o.segments[i].name, o.segments[i].number, ErrCorrupt)
		}
	}
	return nil
}

// readSegment reads the headers of one file.
func (o *opening) readSegment(name string, slot uint64) error {
	f := o.files
	file, err := f.fs.Open(f.path(name), fileFlags)
	if err != nil {
		return err
	}
	s := &segment{slot: slot, name: name, file: file}
	o.segments = append(o.segments, s)
	if err := f.readBlocks(file); err != nil {
		return err
	}
	for i := range 2 {
		h, ok := segmentHeadOf(f.block[i*vfs.BlockSize:], i)
		if !ok || h.slot != slot || f.meta.log != 0 && h.log != f.meta.log {
			o.repairs = append(o.repairs, repair{s, i})
			continue
		}
		f.meta.log = h.log // the metadata may be lost
		if h.number > s.number {
			s.number, s.size, s.made = h.number, h.size, h.made
		}
	}
	return nil
}

// identify finds out which segments the files with a bad header are: a copy that
// is left may be of an earlier life. Files that stay unknown go into quarantine.
func (o *opening) identify() error {
	f := o.files
	taken := map[uint64]bool{}
	for _, s := range o.segments {
		taken[s.number] = true
		o.number = max(o.number, s.number)
	}
	known := o.segments[:0]
	for _, s := range o.segments {
		if slices.ContainsFunc(o.repairs, func(r repair) bool { return r.segment == s }) {
			if err := o.identifyByContent(s, taken); err != nil {
				return err
			}
		}
		if s.number != 0 {
			s.bind = binding(f.meta.log, s.number)
			known = append(known, s)
			continue
		}
		o.repairs = slices.DeleteFunc(o.repairs, func(r repair) bool { return r.segment == s })
		o.report.Quarantined = append(o.report.Quarantined, s.name)
		if err := f.quarantine(s.name, s.file, 0); err != nil {
			return err
		}
	}
	o.segments = known
	return nil
}

// identifyMax bounds the numbers that are tried for one file.
const identifyMax = 1 << 16

// identifyByContent tries the numbers of segments that are missing on the first
// batch of a file.
func (o *opening) identifyByContent(s *segment, taken map[uint64]bool) error {
	m := o.files.meta
	size, err := s.file.Size()
	if err != nil || size < segmentHead+vfs.BlockSize {
		return err
	}
	var w window
	w.reset(s, segmentHead+vfs.BlockSize)
	b, err := w.view(segmentHead, batchHead)
	if b == nil || err != nil {
		return err
	}
	fits := func(number uint64) bool {
		_, ok := batchHeadOf(b, binding(m.log, number), segmentHead, segmentMax)
		return ok
	}
	if s.number != 0 && fits(s.number) {
		return nil
	}
	last := max(m.last, o.number+uint64(len(o.segments)))
	for number := max(m.first, 1); number <= last && number < m.first+identifyMax; number++ {
		if !taken[number] && fits(number) {
			taken[number] = true
			s.number, s.size, s.made = number, vfs.AlignDown(size), made{}
			o.number = max(o.number, number)
			for i := range 2 {
				if !slices.Contains(o.repairs, repair{s, i}) {
					o.repairs = append(o.repairs, repair{s, i})
				}
			}
			return nil
		}
	}
	return nil
}

// create makes the metadata of a new log.
func (o *opening) create() error {
	id := o.options.Identity
	if id == 0 {
		var b [8]byte
		crand.Read(b[:]) // never fails
		id = little.Uint64(b[:])
	}
	o.report.Fresh = len(o.report.Quarantined) == 0
	o.hasMeta = true
	return o.files.writeMeta(metadata{log: id, first: 1})
}

// recover replays, with what is missing as a whole reported as damage.
func (o *opening) recover(r *recovery) error {
	m := &o.files.meta
	if !o.hasMeta && len(o.report.Quarantined) > 0 {
		// The files that are lost may have been the first and the last.
		m.first, m.last = 1, o.number+uint64(len(o.report.Quarantined))
	}
	for _, s := range o.segments {
		if s.number >= m.first {
			r.live = append(r.live, s)
		}
	}
	if m.last >= m.first && m.last > 0 && (len(r.live) == 0 || r.live[0].number > m.first) {
		to := at(m.last+1, 0)
		if len(r.live) > 0 {
			to = at(r.live[0].number, segmentHead)
		}
		o.missing = m.first
		if err := o.lost(r, at(m.first, segmentHead), to); err != nil {
			return err
		}
		r.tail.end = 0
	}
	if len(r.live) == 0 {
		return nil
	}
	r.evidence = o.evidence(r)
	if err := r.run(); err != nil {
		return err
	}
	if last := r.live[len(r.live)-1]; m.last > last.number {
		last.damaged = true // it shows that there is something behind it
		r.used[last] = true
		return o.lost(r, max(r.tail.end, at(last.number+1, 0)), at(m.last+1, 0))
	}
	return nil
}

// evidence is the largest position that the log must have reached: everything
// below had been synced, or is in a segment that was written to and is not there.
// The latter counts in this epoch alone: an opening may cut off what was written.
func (o *opening) evidence(r *recovery) Position {
	m := &o.files.meta
	most := max(o.options.Proof, m.base)
	for _, s := range r.live {
		most = max(most, s.made.synced)
	}
	for _, s := range r.live {
		if p := at(s.made.active, segmentHead); o.hasMeta && s.made.epoch == m.epoch && p > most && !r.has(p) {
			most = p
		}
	}
	if most < at(r.live[0].number, segmentHead) {
		return 0 // of what nobody needs any more
	}
	if !r.has(most) {
		return at(most.Segment()+1, 0)
	}
	return most
}

// lost reports segment files that are not there.
func (o *opening) lost(r *recovery, from, to Position) error {
	d := Damage{From: from, To: to, Reason: "segment file is missing"}
	r.damages = append(r.damages, d)
	r.tail.end, r.tail.chain = to, 0
	o.number = max(o.number, to.Segment())
	return r.replay.damaged(d)
}

// secure makes what was replayed durable, so that it counts as committed: after
// a failed sync or a crash of the process some of it may be in memory only. Then
// it repairs headers.
func (o *opening) secure(r *recovery) error {
	if end := r.tail.end; end != r.clean && len(r.live) > 0 {
		s := r.live[r.indexOf(end)]
		if s.number == end.Segment() {
			if err := o.rewrite(r, s, end); err != nil {
				return err
			}
		}
	}
	f := o.files
	for _, repair := range o.repairs {
		s := repair.segment
		putSegmentHead(f.block, segmentHeader{log: f.meta.log, number: s.number, slot: s.slot, size: s.size, made: s.made}, repair.copy)
		if err := f.writeBlock(s.file, repair.copy); err != nil {
			return err
		}
		o.report.Repaired = append(o.report.Repaired, fmt.Sprintf("%s, copy %d", s.name, repair.copy+1))
	}
	return nil
}

// rewrite writes the blocks that no later batch proves to be on disk, as they
// are, and syncs.
func (o *opening) rewrite(r *recovery, s *segment, end Position) error {
	from := int64(segmentHead)
	if synced := max(r.tail.synced, r.clean); synced.Segment() == s.number {
		from = synced.block().Offset()
	}
	r.window.reset(s, s.size)
	for to := end.block().Offset(); from < to && !s.damaged; {
		n := min(to-from, windowBytes)
		b, err := r.window.view(from, int(n))
		if err != nil {
			return err
		}
		if _, err := s.file.WriteAt(b, from); err != nil {
			return err
		}
		from += n
	}
	return s.file.SyncData()
}

// finish makes the Log, and the first segment if there is none.
func (o *opening) finish(r *recovery) (*Log, error) {
	f := o.files
	c := &core{
		options: o.options,
		id:      f.meta.log,
		epoch:   max(f.meta.epoch, r.tail.epoch) + 1,
		base:    r.tail.end.block(),
		end:     r.tail.end,
		chain:   r.tail.chain,
		owners:  map[OwnerID]*Owner{},
	}
	c.recordEnd, c.written, c.synced, c.committed, c.evidence = c.end, c.end, c.end, c.end, c.end
	c.prepare.number = max(o.number, f.meta.last, c.end.Segment())
	c.prepare.slot = o.slot
	c.hold, c.missing = len(r.damages) > 0, o.missing
	for _, s := range o.segments {
		if r.used[s] {
			s.next = s.size // full
			c.live = append(c.live, s)
		} else {
			c.free = append(c.free, s)
		}
	}
	if err := o.activate(c); err != nil {
		return nil, err
	}
	m := f.meta
	m.epoch, m.base, m.clean, m.chain, m.first = c.epoch, c.end, 0, 0, c.first()
	m.last = max(m.last, c.active().number) // not the largest seen: that header may not be durable
	if err := f.writeMeta(m); err != nil {
		return nil, err
	}
	l := newLog(c, f, o.lock)
	o.owners(l, r)
	o.fill(c, r)
	l.damages = r.damages
	return l, nil
}

// activate chooses where the log goes on: behind its end if that segment is
// sound, else in another.
func (o *opening) activate(c *core) error {
	f := o.files
	if n := len(c.live); n > 0 {
		s := c.live[n-1]
		size, err := s.file.Size()
		if err != nil {
			return err
		}
		if !s.damaged && size >= s.size && s.number == c.end.Segment() {
			s.next = c.end.block().Offset()
		}
		return nil
	}
	t := task{kind: taskMake, size: o.options.SegmentBytesMin, first: f.meta.first, made: made{synced: c.synced, epoch: c.epoch}}
	t.segment = c.takeFree(c.findFree(t.size))
	c.prepare.number++
	t.number = c.prepare.number
	if t.segment == nil {
		c.prepare.slot++
		t.slot = c.prepare.slot
	}
	if t.first = t.number; c.hold && c.missing != 0 {
		t.first = c.missing
	}
	s, err := f.run(t, c.id)
	if err != nil {
		return err
	}
	c.live = append(c.live, s)
	return nil
}

// owners registers everybody who has records, with all of them pinned.
func (o *opening) owners(l *Log, r *recovery) {
	for id, seen := range r.owners {
		owner := l.core.claim(l, id)
		owner.last = seen.last
		l.core.pin(owner, seen.first)
		o.report.Owners = append(o.report.Owners, OwnerReport{id, seen.first, seen.last, seen.records})
	}
	slices.SortFunc(o.report.Owners, func(a, b OwnerReport) int { return compare(uint64(a.Owner), uint64(b.Owner)) })
	l.core.released()
}

// fill completes the report.
func (o *opening) fill(c *core, r *recovery) {
	p := o.report
	p.Identity = c.id
	p.Epoch = c.epoch
	p.Clean = r.clean != 0 && len(r.damages) == 0
	p.First = at(c.live[0].number, segmentHead)
	p.End = c.end
	p.Records = r.records
	p.Torn = r.torn
	p.MetadataLost = !o.hasMeta
	p.Damages = r.damages
	for _, s := range c.live {
		p.Segments = append(p.Segments, SegmentReport{File: s.name, Segment: s.number, Size: s.size, Used: s.next})
	}
	for _, s := range c.free {
		p.Segments = append(p.Segments, SegmentReport{File: s.name, Segment: s.number, Size: s.size, Free: true})
	}
}

// tell logs what an operator should know.
func (o *opening) tell() {
	p := o.report
	for _, d := range p.Damages {
		o.options.Logf("Commit log is damaged from %v to %v: %s %s", d.From, d.To, d.Reason, d.File)
	}
	for _, name := range p.Quarantined {
		o.options.Logf("Commit log does not know segment file %s, moved it to %s", name, quarantineDir)
	}
	for _, what := range p.Repaired {
		o.options.Logf("Commit log repaired %s from the other copy", what)
	}
	if p.MetadataLost {
		o.options.Logf("Commit log has lost its metadata, made them from its segments")
	}
	if p.Torn {
		o.options.Logf("Commit log was cut at %v: its last batch had not been written whole", p.End)
	}
}

// close releases what a failed opening holds.
func (o *opening) close() {
	for _, s := range o.segments {
		s.file.Close()
	}
	if o.files.metaFile != nil {
		o.files.metaFile.Close()
	}
	if o.lock != nil {
		o.lock.Close()
	}
}
