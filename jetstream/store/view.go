package store

import (
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
)

// A View is where a message is, for a reader on another goroutine: made by the
// owner, it is used once and soon. What it finds in memory stays good whatever
// happens to the stream.
type View struct {
	seq    Seq
	bind   uint64
	record []byte // in memory
	cold   *coldChunk
	from   uint32 // in the chunk
	to     uint32
}

// coldChunk is a chunk on disk with what it takes to read it.
type coldChunk struct {
	files  Files
	format func() (*format, error) // of fixed things only
	name   string
	at     address
	place  place
}

// View finds a message without reading it from disk. Errors: ErrNotFound,
// ErrCorrupt.
func (s *Stream) View(seq Seq) (View, error) {
	b, slot, err := s.locate(seq)
	if err != nil {
		return View{}, err
	}
	from, to := b.record(slot)
	c := b.chunkAt(from)
	v := View{seq: seq, bind: s.identity, from: from - c.start, to: to - c.start}
	if c.mem != nil {
		v.record = c.mem[v.from:v.to:v.to]
		return v, nil
	}
	d := s.disk
	v.cold = &coldChunk{files: s.files, name: s.path(b.fileName()), place: c.place,
		at: address{b.id, b.generation, c.place.off}, format: d.newFormat}
	return v, nil
}

// Hot tells whether Load will not touch the disk.
func (v *View) Hot() bool { return v.cold == nil }

// A Reader reads cold messages on one goroutine. It remembers the last chunk, so
// reading in order reads each chunk once.
type Reader struct {
	// Misses counts chunks read from disk.
	Misses atomic.Uint64

	name  string
	at    address
	chunk []byte
}

// Load reads the message of a view into m, which then aliases memory that is
// shared and immutable. Errors: ErrNotFound if the message was removed or its block
// compacted meanwhile, so ask for another View; ErrCorrupt.
func (r *Reader) Load(v *View, m *Message) error {
	record := v.record
	if v.cold != nil {
		chunk, err := r.read(v.cold)
		if err != nil {
			return err
		}
		if int(v.to) > len(chunk) {
			return fmt.Errorf("store: load %d: short chunk: %w", v.seq, ErrCorrupt)
		}
		record = chunk[v.from:v.to:v.to]
	}
	if err := recordOf(record, m, v.bind); err != nil || m.Seq != v.seq {
		return fmt.Errorf("store: load %d: %w", v.seq, ErrCorrupt)
	}
	return nil
}

func (r *Reader) read(c *coldChunk) ([]byte, error) {
	if r.chunk != nil && r.name == c.name && r.at == c.at {
		return r.chunk, nil
	}
	r.chunk = nil
	codec, err := c.format()
	if err != nil {
		return nil, err
	}
	f, err := c.files.FS.Open(c.name, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrNotFound
		}
		return nil, fmt.Errorf("store: read %s: %w", c.name, err)
	}
	defer f.Close()
	chunk, err := readPlace(nil, f, codec, kindRecords, c.at, c.place)
	if err != nil {
		return nil, err
	}
	r.Misses.Add(1)
	r.name, r.at, r.chunk = c.name, c.at, chunk
	return chunk, nil
}

// A Scrub reads all chunks of a stream's files in the background, a block a job.
type Scrub struct {
	next uint32
	// Blocks and Bytes were read so far; Damage is what was found.
	Blocks int
	Bytes  int64
	Damage []error
}

// Scrub returns a job that reads the next block of a stream on disk and checks
// every sum, nil when all were read or another job is running. Like jobs of Work
// it is run anywhere and then given to Finish.
func (s *Stream) Scrub(sc *Scrub) *Job {
	if s.disk == nil || s.busy != nil || s.stopped != nil {
		return nil
	}
	for _, b := range s.blocks {
		if b.id < sc.next || b.size == 0 {
			continue
		}
		sc.next = b.id + 1
		j := s.scrubJob(sc, b)
		var err error
		if j.codec, err = s.newFormat(); err != nil {
			s.stop(err)
			return nil
		}
		j.files = s.files
		s.busy = j
		return j
	}
	return nil
}

func (s *Stream) scrubJob(sc *Scrub, b *block) *Job {
	name, at, index := s.path(b.fileName()), address{block: b.id, generation: b.generation}, b.index
	var places []place
	for _, c := range b.chunks {
		if c.place.written() {
			places = append(places, c.place)
		}
	}
	var damage []error
	read := int64(0)
	return &Job{
		run: func(j *Job) error {
			f, err := j.files.FS.Open(name, 0)
			if err != nil {
				damage = append(damage, fmt.Errorf("store: scrub %s: %w", name, err))
				return nil
			}
			defer f.Close()
			check := func(kind uint8, p place) {
				at.off = p.off
				if _, err := readPlace(nil, f, j.codec, kind, at, p); err != nil {
					damage = append(damage, err)
				}
				read += p.room()
			}
			for _, p := range places {
				check(kindRecords, p)
			}
			if index.written() {
				check(kindIndex, index)
			}
			return nil
		},
		finish: func(*Job) {
			sc.Blocks++
			sc.Bytes += read
			for _, err := range damage {
				s.files.Logf("store: scrub: %v", err)
			}
			sc.Damage = append(sc.Damage, damage...)
		},
	}
}
