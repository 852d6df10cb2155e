package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"

	"github.com/cespare/xxhash/v2"

	"peregrine/vfs"
)

// A DeliverySeq counts a consumer's deliveries.
type DeliverySeq uint64

// A Position pairs a delivery with the message delivered.
type Position struct {
	Delivery DeliverySeq
	Stream   Seq
}

// A PendingMessage was delivered and is not acknowledged.
type PendingMessage struct {
	Stream     Seq
	Delivery   DeliverySeq // of the last time
	Time       int64       // of the last time, Unix nanoseconds
	Deliveries uint32
}

// A ConsumerChange is a step of a consumer: where it stands afterwards, what
// became pending or was delivered again, and what is pending no more.
type ConsumerChange struct {
	Delivered Position
	AckFloor  Position
	Pending   []PendingMessage
	Settled   []Seq
}

// A Consumer keeps the state of one consumer: a stream's little sibling with the
// same way of logging, checkpoints and recovery. What the state means is the
// business of whoever changes it. One goroutine owns it.
type Consumer struct {
	delivered Position
	floor     Position
	pending   map[Seq]PendingMessage

	files      Files // Dir is the folder that the two files are in
	name       string
	log        Log
	generation uint64
	position   uint64
	next       *consumerCheckpoint
	busy       *Job
	stopped    error
	stale      bool // see Stale
	scratch    []byte
}

// Kinds of a consumer's log records.
const logConsumer = 32 // see appendChange

const (
	magicConsumer   = 0x43534750 // "PGSC"
	consumerVersion = 1
	consumerHead    = 24
	consumerMax     = 1 << 30
)

type consumerCheckpoint struct {
	position uint64
	body     []byte
}

// NewMemoryConsumer returns a consumer without files. log may be nil.
func NewMemoryConsumer(log Log) *Consumer {
	return &Consumer{pending: map[Seq]PendingMessage{}, log: log}
}

// OpenConsumer opens a consumer's files, name.a and name.b in f.Dir, or makes it
// new if they are not there; the folder must be. The caller then replays the log
// from the position returned, which must not be older than what the log was told
// to keep. Errors: ErrCorrupt if neither file is good, ErrKey.
func OpenConsumer(log Log, f Files, name string) (*Consumer, uint64, error) {
	c := NewMemoryConsumer(log)
	c.files, c.name = f.withDefaults(), name
	var failed error
	var raw [2][]byte
	from := -1
	for i, file := range c.names() {
		b, err := vfs.ReadFile(f.FS, file, consumerMax)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		try := NewMemoryConsumer(nil)
		try.files = c.files
		if err == nil {
			raw[i], err = b, try.decode(b)
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("store: %s: %w", file, err))
		} else if from < 0 || try.generation > c.generation {
			from = i
			c.pending, c.delivered, c.floor = try.pending, try.delivered, try.floor
			c.generation, c.position, c.stale = try.generation, try.position, try.stale
		}
	}
	if from < 0 {
		if _, err := f.FS.Stat(c.names()[1]); errors.Is(err, fs.ErrNotExist) && errors.Is(failed, ErrCorrupt) {
			failed = nil // the first checkpoint was cut short: all is in the log
		}
		return c, 0, failed
	}
	if slices.Equal(raw[0], raw[1]) {
		return c, c.position, nil
	}
	c.files.Logf("store: consumer %s: using %s: %v", name, c.names()[from], failed)
	if err := writeStateFile(f.FS, c.names()[1-from], raw[from]); err != nil {
		return nil, 0, err
	}
	return c, c.position, f.FS.SyncDir(f.Dir)
}

// NewConsumer returns a new consumer whose files OpenConsumer will find, once a
// checkpoint has made them. Nothing of that name may be there.
func NewConsumer(log Log, f Files, name string) *Consumer {
	c := NewMemoryConsumer(log)
	c.files, c.name = f.withDefaults(), name
	return c
}

// Stopped is why the consumer takes no more changes, nil if it does.
func (c *Consumer) Stopped() error { return c.stopped }

// Stop makes the consumer take no more changes.
func (c *Consumer) Stop(err error) {
	if c.stopped == nil {
		c.stopped = stoppedError{err}
	}
}

// Stale is like that of a Stream; one checkpoint ends it.
func (c *Consumer) Stale() bool { return c.stopped == nil && c.stale }

// Checkpointing tells whether a checkpoint was begun and is not done.
func (c *Consumer) Checkpointing() bool {
	return c.stopped == nil && (c.next != nil || c.busy != nil)
}

func (c *Consumer) names() [2]string {
	base := path.Join(c.files.Dir, c.name)
	return [2]string{base + ".a", base + ".b"}
}

// Delivered is the last delivery, and the newest message delivered.
func (c *Consumer) Delivered() Position { return c.delivered }

// AckFloor is the delivery and message up to which everything is settled.
func (c *Consumer) AckFloor() Position { return c.floor }

// Pending is what a message waits for; false if it is not pending.
func (c *Consumer) Pending(seq Seq) (PendingMessage, bool) {
	p, ok := c.pending[seq]
	return p, ok
}

// NumPending is how many messages are not acknowledged.
func (c *Consumer) NumPending() int { return len(c.pending) }

// AllPending appends what is pending to out, by message.
func (c *Consumer) AllPending(out []PendingMessage) []PendingMessage {
	from := len(out)
	for _, p := range c.pending {
		out = append(out, p)
	}
	slices.SortFunc(out[from:], func(a, b PendingMessage) int { return cmp.Compare(a.Stream, b.Stream) })
	return out
}

// Apply changes the state and logs the change, which is borrowed. Errors:
// ErrStopped.
func (c *Consumer) Apply(ch *ConsumerChange) error {
	if c.stopped != nil {
		return c.stopped
	}
	c.apply(ch)
	if c.log != nil {
		c.scratch = appendChange(c.scratch[:0], ch)
		c.log.Append(logConsumer, c.scratch, nil)
	}
	return nil
}

func (c *Consumer) apply(ch *ConsumerChange) {
	c.delivered, c.floor = ch.Delivered, ch.AckFloor
	for _, p := range ch.Pending {
		c.pending[p.Stream] = p
	}
	for _, seq := range ch.Settled {
		delete(c.pending, seq)
	}
}

// Replay applies a record of the log. Errors: ErrCorrupt.
func (c *Consumer) Replay(kind uint8, payload []byte) error {
	var ch ConsumerChange
	if kind != logConsumer || !ch.decode(payload) {
		return ErrCorrupt
	}
	c.apply(&ch)
	return nil
}

// appendChange encodes a change: uvarints of delivered and floor, then pending:
// count, and for each message, delivery, time (zigzag), deliveries; then settled:
// count and messages.
func appendChange(dst []byte, ch *ConsumerChange) []byte {
	for _, p := range []Position{ch.Delivered, ch.AckFloor} {
		dst = binary.AppendUvarint(dst, uint64(p.Delivery))
		dst = binary.AppendUvarint(dst, uint64(p.Stream))
	}
	dst = binary.AppendUvarint(dst, uint64(len(ch.Pending)))
	for _, p := range ch.Pending {
		dst = binary.AppendUvarint(dst, uint64(p.Stream))
		dst = binary.AppendUvarint(dst, uint64(p.Delivery))
		dst = binary.AppendVarint(dst, p.Time)
		dst = binary.AppendUvarint(dst, uint64(p.Deliveries))
	}
	dst = binary.AppendUvarint(dst, uint64(len(ch.Settled)))
	for _, seq := range ch.Settled {
		dst = binary.AppendUvarint(dst, uint64(seq))
	}
	return dst
}

func (ch *ConsumerChange) decode(b []byte) bool {
	r := &reader{b: b}
	for _, p := range []*Position{&ch.Delivered, &ch.AckFloor} {
		p.Delivery, p.Stream = DeliverySeq(r.number(math.MaxUint64)), Seq(r.number(math.MaxUint64))
	}
	for range r.count(4) {
		p := PendingMessage{Stream: Seq(r.number(math.MaxUint64)), Delivery: DeliverySeq(r.number(math.MaxUint64))}
		p.Time, p.Deliveries = r.signed(), uint32(r.number(math.MaxUint32))
		ch.Pending = append(ch.Pending, p)
	}
	for range r.count(1) {
		ch.Settled = append(ch.Settled, Seq(r.number(math.MaxUint64)))
	}
	return !r.bad && len(r.b) == 0
}

// encode makes the content of a consumer's file.
//
// Shape, little-endian: magic u32 | version u16 | cipher u8 | zero u8 | generation
// u64 | position u64 | the whole state as a change, encrypted if there is a key |
// sum u64, the xxh64 of all before it.
func (c *Consumer) encode(cp *consumerCheckpoint, generation uint64) ([]byte, error) {
	out := little.AppendUint32(nil, magicConsumer)
	out = little.AppendUint16(out, consumerVersion)
	out = append(out, 0, 0)
	out = little.AppendUint64(out, generation)
	out = little.AppendUint64(out, cp.position)
	if len(c.files.Keys) > 0 {
		seal, err := newSealer(c.files.Keys[0], c.files.Random)
		if err != nil {
			return nil, err
		}
		out[6] = uint8(c.files.Keys[0].Cipher)
		if out, err = seal.append(out, cp.body, out[:consumerHead:consumerHead]); err != nil {
			return nil, err
		}
	} else {
		out = append(out, cp.body...)
	}
	return little.AppendUint64(out, xxhash.Sum64(out)), nil
}

func (c *Consumer) decode(b []byte) error {
	end := len(b) - 8
	if end < consumerHead || little.Uint32(b) != magicConsumer || little.Uint16(b[4:]) != consumerVersion ||
		xxhash.Sum64(b[:end]) != little.Uint64(b[end:]) {
		return ErrCorrupt
	}
	c.generation, c.position = little.Uint64(b[8:]), little.Uint64(b[16:])
	body := b[consumerHead:end]
	if b[6] != uint8(NoCipher) {
		var err error
		if body, c.stale, err = openWithAny(c.files.Keys, Cipher(b[6]), body, b[:consumerHead]); err != nil {
			return err
		}
	} else {
		c.stale = len(c.files.Keys) > 0
	}
	var ch ConsumerChange
	if !ch.decode(body) {
		return ErrCorrupt
	}
	c.apply(&ch)
	return nil
}

// openWithAny decrypts with the first key that fits, and tells whether that is not
// the one to encrypt with.
func openWithAny(keys []Key, cipher Cipher, b, bound []byte) (plain []byte, stale bool, err error) {
	for i, k := range keys {
		outer, err := newSealer(Key{cipher, k.Secret}, nil)
		if err != nil {
			continue
		}
		if plain, err := outer.open(b, bound); err == nil {
			return plain, i > 0 || k.Cipher != cipher, nil
		}
	}
	return nil, false, ErrKey
}

// Checkpoint begins one: Work will make its job once the log has committed what
// it holds.
func (c *Consumer) Checkpoint() {
	if c.name == "" || c.next != nil || c.stopped != nil {
		return
	}
	cp := &consumerCheckpoint{}
	if c.log != nil {
		cp.position = c.log.End()
	}
	all := ConsumerChange{Delivered: c.delivered, AckFloor: c.floor, Pending: c.AllPending(nil)}
	cp.body = appendChange(nil, &all)
	c.next = cp
}

// Work returns the next job, to be run anywhere and given to Finish; nil if there
// is none, one is running, or the log must commit more first.
func (c *Consumer) Work() *Job {
	cp := c.next
	if cp == nil || c.busy != nil || c.stopped != nil || (c.log != nil && c.log.Committed() < cp.position) {
		return nil
	}
	generation, names := c.generation+1, c.names()
	content, err := c.encode(cp, generation)
	c.busy = &Job{
		files: c.files,
		run: func(j *Job) error {
			if err != nil {
				return err
			}
			for _, name := range names {
				if err := writeStateFile(j.files.FS, name, content); err != nil {
					return fmt.Errorf("store: write %s: %w", name, err)
				}
				if generation == 1 {
					if err := j.files.FS.SyncDir(j.files.Dir); err != nil {
						return err
					}
				}
			}
			return nil
		},
		finish: func(*Job) {
			c.generation, c.position, c.next, c.stale = generation, cp.position, nil, false
			if c.log != nil {
				c.log.Need(cp.position)
			}
		},
	}
	return c.busy
}

// Finish takes a job back that was run. A failure stops the consumer.
func (c *Consumer) Finish(j *Job) {
	c.busy = nil
	if j.err != nil {
		c.stopped = stoppedError{j.err}
		return
	}
	j.finish(j)
}
