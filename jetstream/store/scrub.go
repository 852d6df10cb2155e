package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"peregrine/jetstream/store/seqset"
	"peregrine/vfs"
)

// A Scrub is one round over the files of a stream: every sum is checked, past the
// page cache where the disk allows that. What it finds damaged is fenced: messages
// that cannot be read are lost from then on, the others are moved to a new file and
// the old one to quarantine. That takes checkpoints, see Stale.
//
//	Scrub ─▶ job: read a piece ─▶ Finish: fence, log ─▶ checkpoint ─▶ rewrite, quarantine
type Scrub struct {
	from       Seq    // where to go on: a block that begins here or later,
	block      uint32 // which it was the last time,
	generation uint32 // its file,
	chunk      int    // and how many of its chunks were read
	copies     bool   // of the state, or of a consumer: both were looked at
	done       bool

	// Blocks and Bytes were read so far.
	Blocks int
	Bytes  int64
	// Damage is what was found, Lost the messages that were fenced for it.
	Damage []error
	Lost   []seqset.Range
	// Trouble is what could not be read this time and may be the next.
	Trouble []error
}

// Done tells that everything was read.
func (sc *Scrub) Done() bool { return sc.done }

// scrubBytes is about how much one job reads: the stream's other jobs wait.
const scrubBytes = 1 << 20

// Scrub returns a job that reads the next piece of a stream's files, nil when all
// were read (Done) or another job is running. Like jobs of Work it is run anywhere
// and then given to Finish.
func (s *Stream) Scrub(sc *Scrub) *Job {
	if s.disk == nil || s.stopped != nil {
		sc.done = true
		return nil
	}
	if s.busy != nil {
		return nil
	}
	j := s.scrubNext(sc)
	if j == nil {
		sc.done = true
		return nil
	}
	var err error
	if j.codec, err = s.newFormat(); err != nil {
		s.stop(err)
		return nil
	}
	j.files = s.files
	s.busy = j
	return j
}

func (s *Stream) scrubNext(sc *Scrub) *Job {
	for _, b := range s.blocks {
		if b.first < sc.from || b.size == 0 {
			continue
		}
		if b.id != sc.block || b.generation != sc.generation {
			sc.block, sc.generation, sc.chunk = b.id, b.generation, 0
		}
		return s.scrubJob(sc, b)
	}
	if sc.copies {
		return nil
	}
	sc.copies = true
	return s.scrubStates(sc)
}

// scrubbed is a piece of a block that a job reads.
type scrubbed struct {
	b          *block
	generation uint32
	name       string
	chunks     []scrubChunk
	index      place // not written: it is not this piece's business
	indexBad   error
	read       int64
	trouble    error
}

// scrubChunk is a chunk to read.
type scrubChunk struct {
	start, size uint32
	place       place
	bad         error
	raw         []byte // of a bad one: what may be its records, in the clear
}

func (s *Stream) scrubJob(sc *Scrub, b *block) *Job {
	p := &scrubbed{b: b, generation: b.generation, name: s.path(b.fileName())}
	bytes := int64(0)
	for ; sc.chunk < len(b.chunks) && bytes < scrubBytes; sc.chunk++ {
		if c := b.chunks[sc.chunk]; c.place.written() && !c.isPending() {
			p.chunks = append(p.chunks, scrubChunk{start: c.start, size: c.size, place: c.place})
			bytes += c.place.room()
		}
	}
	whole := sc.chunk >= len(b.chunks)
	if whole {
		p.index = b.index
		sc.from, sc.chunk = b.first+1, 0
	}
	return &Job{
		run: func(j *Job) error { p.run(j); return nil },
		finish: func(*Job) {
			sc.Bytes += p.read
			if whole {
				sc.Blocks++
			}
			s.scrubbed(sc, p)
		},
	}
}

// run reads and checks the piece.
func (p *scrubbed) run(j *Job) {
	f, err := j.files.FS.Open(p.name, vfs.Direct)
	if errors.Is(err, fs.ErrNotExist) {
		for i := range p.chunks {
			p.chunks[i].bad = err
		}
		if p.index.written() {
			p.indexBad = err
		}
		return
	}
	if err != nil {
		p.trouble = err
		return
	}
	defer f.Close()
	at := address{block: p.b.id, generation: p.generation}
	for i := range p.chunks {
		c := &p.chunks[i]
		at.off = c.place.off
		if c.bad = p.check(j, f, kindRecords, at, c.place); c.bad != nil {
			c.raw = sparedRecords(c.bad, f, c.place, 0, c.size)
		}
	}
	if p.index.written() {
		at.off = p.index.off
		p.indexBad = p.check(j, f, kindIndex, at, p.index)
	}
}

// check tells whether a chunk is damaged: twice, so that it was not the way here
// that changed it.
func (p *scrubbed) check(j *Job, f vfs.File, kind uint8, at address, want place) error {
	var damage error
	for range 2 {
		buf := vfs.Buffer(int(want.room()))
		n, err := f.ReadAt(buf, want.off)
		if err != nil && err != io.EOF {
			p.trouble = fmt.Errorf("store: scrub %s at %d: %w", p.name, want.off, err)
			return nil
		}
		p.read += int64(n)
		if _, _, damage = j.codec.openInPlace(nil, buf[:n], kind, at, want); damage == nil {
			return nil
		}
		if !errors.Is(damage, ErrCorrupt) {
			p.trouble = damage
			return nil
		}
	}
	return damage
}

// scrubbed fences what a job found.
func (s *Stream) scrubbed(sc *Scrub, p *scrubbed) {
	if p.trouble != nil {
		s.files.Logf("%v", p.trouble)
		sc.Trouble = append(sc.Trouble, p.trouble)
	}
	b := p.b
	if b.gone || b.generation != p.generation {
		return // that file is not the stream's any more
	}
	if p.indexBad != nil {
		s.note(sc, p.indexBad)
		if err := s.reindex(sc, b); err != nil {
			s.stop(err)
			return
		}
	}
	lost := &seqset.Set{}
	for i := range p.chunks {
		if c := &p.chunks[i]; c.bad != nil {
			s.note(sc, c.bad)
			err := s.soundColumns(sc, b)
			if err == nil {
				err = s.fenceChunk(b, c, lost)
			}
			if err != nil {
				s.stop(err)
				return
			}
			b.heal, b.bad = true, false
			s.waste, s.stale = true, true
		}
	}
	s.tellLost(sc, lost)
	if !b.gone {
		s.tidy(b)
	}
}

// note tells of damage.
func (s *Stream) note(sc *Scrub, err error) {
	s.files.Logf("store: %s: scrub: %v", s.files.Dir, err)
	sc.Damage = append(sc.Damage, err)
}

// tellLost logs and reports what was fenced: replay must have the same messages, for
// limits to remove the same ones.
func (s *Stream) tellLost(sc *Scrub, lost *seqset.Set) {
	lost.Each(0, uint64(firstStale), func(r seqset.Range) bool {
		s.log(logLost, r.First, r.Last)
		s.files.Logf("store: %s: messages %d to %d are lost", s.files.Dir, r.First, r.Last)
		sc.Lost = append(sc.Lost, r)
		return true
	})
}

// soundColumns is columns that makes damaged ones again.
func (s *Stream) soundColumns(sc *Scrub, b *block) error {
	err := s.columns(b)
	if err == nil || !isBroken(err) {
		return err
	}
	s.note(sc, err)
	return s.reindex(sc, b)
}

// fenceChunk loses the messages of a bad chunk whose records are neither in memory
// nor good by themselves. The block's columns are in memory.
func (s *Stream) fenceChunk(b *block, c *scrubChunk, lost *seqset.Set) error {
	if c.size == 0 || b.chunkAt(c.start).mem != nil {
		return nil
	}
	var m Message
	for slot := range b.slots {
		from, to := b.record(slot)
		if b.ix.subject[slot]&slotAbsent != 0 || from < c.start || from >= c.start+c.size {
			continue
		}
		seq := b.first + Seq(slot)
		if int(to-c.start) <= len(c.raw) && recordOf(c.raw[from-c.start:to-c.start], &m, s.identity) == nil && m.Seq == seq {
			continue
		}
		if err := s.loseSlot(b, slot); err != nil {
			return err
		}
		lost.Add(uint64(seq), uint64(seq))
	}
	return nil
}

// loseSlot takes a message that cannot be read out of everything that counts it.
// Reading it tells that it is lost.
func (s *Stream) loseSlot(b *block, slot int) error {
	seq := b.first + Seq(slot)
	if b.ix.subject[slot]&slotTTL != 0 {
		s.wheel.Forget(uint64(seq), uint64(seq))
	}
	if err := s.strike(b, slot); err != nil {
		return err
	}
	s.lost.Add(uint64(seq), uint64(seq))
	return nil
}

// loseOne is loseSlot for replay. Errors: ErrNotFound if the message is not there,
// or known to be lost.
func (s *Stream) loseOne(seq Seq) error {
	if s.disk == nil || s.lost.Contains(uint64(seq)) {
		return ErrNotFound
	}
	b, slot, err := s.locate(seq)
	if err != nil {
		return err
	}
	if err := s.loseSlot(b, slot); err != nil {
		return err
	}
	b.heal, s.waste = true, true
	s.tidy(b)
	return nil
}

// skipAbsent is the last of the sequences from seq on that are not there.
func (s *Stream) skipAbsent(seq Seq) Seq {
	if seq < s.first {
		return s.first - 1
	}
	return max(seq, Seq(s.deleted.NextAbsent(uint64(seq)))-1)
}

// reindex makes a block's columns due to be written again; they are made from the
// records if they are not in memory.
func (s *Stream) reindex(sc *Scrub, b *block) error {
	if b.ix != nil {
		b.indexDue, s.stale = true, true
		return nil
	}
	if err := s.remake(b); err != nil {
		return err
	}
	live := 0
	for _, word := range b.ix.subject {
		if word&slotAbsent == 0 {
			live++
		}
	}
	if live == b.live {
		return nil
	}
	return s.recount(sc)
}

// remake makes a block's columns from its records, to be written again.
func (s *Stream) remake(b *block) error {
	b.indexDue, s.stale = true, true
	ix, end := &columns{}, uint32(0)
	for _, c := range b.chunks {
		if err := s.scanChunk(b, ix, c, &end); err != nil && !isBroken(err) {
			return err
		}
	}
	return s.adopt(b, ix, end)
}

// recount counts all subjects and messages again, after records and columns of one
// block were lost: nothing else knows what is missing.
func (s *Stream) recount(sc *Scrub) error {
	s.subjects.Clear()
	s.bytes, s.msgs = 0, 0
	for i, b := range s.blocks {
		if err := s.columns(b); err != nil {
			if !isBroken(err) {
				return err
			}
			s.note(sc, err)
			if err := s.remake(b); err != nil {
				return err
			}
		}
		s.countSubjects(b, i == len(s.blocks)-1 && !b.sealed)
	}
	var known []seqset.Range
	s.lost.Each(0, uint64(firstStale), func(lost seqset.Range) bool {
		known = append(known, lost)
		return true
	})
	r := &Report{Damage: sc.Damage}
	if err := s.fence(r); err != nil {
		return err
	}
	fresh := &seqset.Set{}
	for _, lost := range r.Lost {
		fresh.Add(lost.First, lost.Last)
	}
	for _, lost := range known {
		fresh.Remove(lost.First, lost.Last)
	}
	s.tellLost(sc, fresh)
	return nil
}

// scrubStates returns a job that looks at both copies of the state. A bad one is
// written again by the next checkpoint.
func (s *Stream) scrubStates(sc *Scrub) *Job {
	names := []string{s.path(stateNames[0]), s.path(stateNames[1])}
	return scrubCopies(sc, names, stateMax, s.generation, s.note, &s.stale, func(j *Job, b []byte) (uint64, error) {
		_, generation, err := (&disk{files: j.files}).openState(b)
		return generation, err
	})
}

// Scrub is like that of a Stream: it looks at both copies of the state.
func (c *Consumer) Scrub(sc *Scrub) *Job {
	if c.busy != nil && c.stopped == nil {
		return nil
	}
	if sc.copies || c.stopped != nil || c.name == "" || c.generation == 0 {
		sc.done = true
		return nil
	}
	sc.copies = true
	names := c.names()
	note := func(sc *Scrub, err error) {
		c.files.Logf("store: consumer %s: scrub: %v", c.name, err)
		sc.Damage = append(sc.Damage, err)
	}
	c.busy = scrubCopies(sc, names[:], consumerMax, c.generation, note, &c.stale, func(j *Job, b []byte) (uint64, error) {
		try := NewMemoryConsumer(nil)
		try.files = j.files
		err := try.decode(b)
		return try.generation, err
	})
	c.busy.files = c.files
	return c.busy
}

// scrubCopies returns a job that looks at copies of one state, which decode opens
// and of which it returns the generation.
func scrubCopies(sc *Scrub, names []string, most int64, generation uint64, note func(*Scrub, error), stale *bool, decode func(*Job, []byte) (uint64, error)) *Job {
	var damage []error
	read := int64(0)
	return &Job{
		run: func(j *Job) error {
			for _, name := range names {
				b, err := vfs.ReadFile(j.files.FS, name, most)
				read += int64(len(b))
				if err == nil {
					var found uint64
					if found, err = decode(j, b); err == nil && found != generation {
						err = fmt.Errorf("it is of checkpoint %d, not %d: %w", found, generation, ErrCorrupt)
					}
				}
				if err != nil {
					damage = append(damage, fmt.Errorf("store: %s: %w", name, err))
				}
			}
			return nil
		},
		finish: func(*Job) {
			sc.Bytes += read
			for _, err := range damage {
				note(sc, err)
				*stale = true
			}
		},
	}
}
