package store

import (
	"encoding/binary"
	"fmt"

	"peregrine/vfs"
)

// checkpoint is one that is being made: what the stream was when it began.
//
//	begin ──▶ write and sync blocks ──▶ log committed ≥ position ──▶ state.a, state.b ──▶ Need, remove garbage
//
// The state may not be durable before the log is: after a crash the log would
// give positions below it to new records, and replay would skip them.
type checkpoint struct {
	position uint64
	head     []byte // of the state, up to the blocks
	blocks   []block
	refs     []*block // what the copies in blocks are of
	sizes    []uint32 // of their chunks
	garbage  int      // how many files it does without
}

// checkpointJob begins a checkpoint.
func (s *Stream) checkpointJob() *Job {
	s.want = false
	for _, b := range s.blocks {
		s.closeChunk(b)
	}
	c := &checkpoint{garbage: len(s.garbage)}
	if s.options.Log != nil {
		c.position = s.options.Log.End()
	}
	blocks := s.blocks
	s.blocks = nil
	c.head = s.appendState(nil, c.position)
	c.head = c.head[:len(c.head)-1] // the number of blocks, 0
	s.blocks = blocks
	for _, b := range blocks {
		if b.end == 0 && b.size == 0 {
			continue
		}
		c.blocks = append(c.blocks, *b)
		c.refs = append(c.refs, b)
		for _, chunk := range b.chunks {
			c.sizes = append(c.sizes, chunk.size)
		}
	}
	erase := map[*block]bool{}
	for b := range s.erasing {
		erase[b] = true
	}
	j := s.writeJob(true)
	done := j.finish
	j.finish = func(j *Job) {
		done(j)
		c.addBlocks(s, erase)
		s.next = c
	}
	return j
}

// addBlocks completes the state: the places of all chunks are known now. Nothing
// but them comes from later than the beginning.
func (c *checkpoint) addBlocks(s *Stream, erase map[*block]bool) {
	c.head = binary.AppendUvarint(c.head, uint64(len(c.blocks)))
	sizes := c.sizes
	for i := range c.blocks {
		b, now := &c.blocks[i], c.refs[i]
		b.index, b.indexed = now.index, now.indexed
		chunks := make([]*chunk, len(b.chunks))
		for k, from := range b.chunks {
			chunks[k] = &chunk{size: sizes[k], place: from.place}
		}
		sizes = sizes[len(chunks):]
		b.chunks = chunks
		b.size = b.filled()
		c.head = s.appendBlock(c.head, b, erase[now])
	}
	c.blocks, c.refs, c.sizes = nil, nil, nil
}

// filled is the end of what a block has in its file.
func (b *block) filled() (end int64) {
	for _, c := range b.chunks {
		if c.place.written() {
			end = max(end, c.place.off+c.place.room())
		}
	}
	if b.index.written() {
		end = max(end, b.index.off+b.index.room())
	}
	return end
}

// stateJob makes a checkpoint durable.
func (s *Stream) stateJob(c *checkpoint) *Job {
	generation := s.generation + 1
	content, err := s.encodeState(c.head, generation)
	list := append([]garbage{}, s.garbage[:c.garbage]...)
	return &Job{
		run: func(j *Job) error {
			if err != nil {
				return err
			}
			if err := j.writeState(content); err != nil {
				return err
			}
			return j.remove(list)
		},
		finish: func(j *Job) {
			s.generation, s.position = generation, c.position
			s.garbage = append([]garbage{}, s.garbage[c.garbage:]...)
			s.next = nil
			s.stale = s.stale && s.unsound()
			if s.options.Log != nil {
				s.options.Log.Need(c.position)
			}
		},
	}
}

// Stale tells that the files should be written again without a change of the
// stream: they are under an old key, or damage was found. It is over after one or
// several checkpoints, with what Work has to do between them.
func (s *Stream) Stale() bool { return s.disk != nil && s.stopped == nil && s.stale }

// unsound tells whether there is still something to rewrite or to remove.
func (s *Stream) unsound() bool {
	for b := range s.erasing {
		if !b.bad && b.end > 0 {
			return true
		}
	}
	for _, b := range s.blocks {
		if b.heal && !b.bad && b.end > 0 {
			return true
		}
	}
	return len(s.garbage) > 0
}

// writeState writes both copies, so that one of them is good at any time.
func (j *Job) writeState(content []byte) error {
	for _, name := range stateNames {
		if err := writeStateFile(j.files.FS, j.path(name), content); err != nil {
			return fmt.Errorf("store: write %s: %w", j.path(name), err)
		}
	}
	return nil
}

func writeStateFile(fsys vfs.FS, name string, content []byte) (err error) {
	f, err := fsys.Open(name, vfs.Write|vfs.Create)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size > int64(len(content)) {
		if err := f.Truncate(int64(len(content))); err != nil {
			return err
		}
	}
	return f.SyncData()
}
