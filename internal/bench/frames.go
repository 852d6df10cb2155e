package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// A payload of eight bytes or more begins with a stamp: publisher in the upper
// 16 bits, that publisher's message number, from 0, in the lower 48.
const (
	stampBytes = 8
	seqMask    = 1<<48 - 1
)

func stamp(publisher int, seq uint64) uint64 { return uint64(publisher)<<48 | seq&seqMask }

// block is a run of pre-encoded frames that differ only in their stamps.
type block struct {
	bytes  []byte
	at     []int // offset of each stamp; empty when payloads are too small
	frames int
}

// newBlock encodes as many frames for subject as fit in about size bytes, at
// least one and at most most. reply may be empty.
func newBlock(subject, reply string, payload, size, most int) *block {
	return newMixedBlock([]string{subject}, reply, payload, size, most)
}

// newMixedBlock is newBlock for subjects of one length in turn.
func newMixedBlock(subjects []string, reply string, payload, size, most int) *block {
	var each [][]byte
	for _, s := range subjects {
		each = append(each, pubFrame(nil, s, reply, payload))
	}
	frame := each[0]
	n := max(1, min(size/len(frame), most))
	b := &block{frames: n, bytes: make([]byte, 0, n*len(frame))}
	for i := range n {
		frame = each[i%len(each)]
		if payload >= stampBytes {
			b.at = append(b.at, len(b.bytes)+len(frame)-2-payload)
		}
		b.bytes = append(b.bytes, frame...)
	}
	return b
}

// pubFrame appends a PUB frame whose payload is filled with 'x'.
func pubFrame(dst []byte, subject, reply string, payload int) []byte {
	dst = append(dst, "PUB "...)
	dst = append(append(dst, subject...), ' ')
	if reply != "" {
		dst = append(append(dst, reply...), ' ')
	}
	dst = strconv.AppendInt(dst, int64(payload), 10)
	dst = append(dst, "\r\n"...)
	for range payload {
		dst = append(dst, 'x')
	}
	return append(dst, "\r\n"...)
}

// stampFrom writes consecutive stamps beginning with first.
func (b *block) stampFrom(first uint64) {
	for i, at := range b.at {
		binary.LittleEndian.PutUint64(b.bytes[at:], first+uint64(i))
	}
}

// feeder consumes what a reader thread has read. b is borrowed; now is in
// nanoseconds on the clock of nanotime.
type feeder interface {
	feed(b []byte, now int64) error
}

// order says what a subscriber may expect of stamps.
type order uint8

const (
	orderNone    order = iota // do not look
	orderRising               // each publisher's numbers rise (queue groups)
	orderExactly              // each publisher's numbers are 0, 1, 2 …
)

// frames counts the deliveries on one connection. All MSG frames there have
// one shape, learnt from the first, so a frame costs two compared bytes and
// its stamp. Owned by a reader thread.
type frames struct {
	c     *conn
	order order
	next  []uint64 // by publisher
	done  *flow    // told of every delivery
	// on, when set, sees each frame: its line without payload, the stamp (0
	// when the payload is too small). line is borrowed.
	on func(line []byte, stamp uint64, now int64)

	count uint64
	first byte // 'M' or 'H'; 0 until the first frame
	head  int  // bytes of the line with its CRLF, and of headers
	size  int  // bytes of a whole frame
	pos   int  // bytes seen of a frame that was cut by the end of a read
	keep  []byte
	line  []byte // a control line cut by the end of a read
	pongs int
	// pong, when set, is called for every PONG.
	pong func()
}

var errStray = errors.New("bytes that are not the expected frame")

func (f *frames) feed(b []byte, now int64) error {
	before := f.count
	var err error
	for len(b) > 0 && err == nil {
		switch {
		case f.pos > 0:
			b, err = f.resume(b, now)
		case len(f.line) > 0 || b[0] != f.first:
			b, err = f.control(b)
		case len(b) >= f.size:
			b, err = f.whole(b, now)
		default:
			f.keep = append(f.keep[:0], b[:min(len(b), f.head+stampBytes)]...)
			f.pos, b = len(b), nil
		}
	}
	if n := f.count - before; n > 0 && f.done != nil {
		f.done.arrived(n)
	}
	return err
}

// whole takes all complete frames at the front of b.
func (f *frames) whole(b []byte, now int64) ([]byte, error) {
	size, head := f.size, f.head
	stamped := size-2-head >= stampBytes
	for len(b) >= size && b[0] == f.first {
		if b[size-1] != '\n' || b[head-1] != '\n' {
			return nil, fmt.Errorf("frame %d: %w: %.80q", f.count, errStray, b[:min(80, len(b))])
		}
		f.count++
		var v uint64
		if stamped {
			v = binary.LittleEndian.Uint64(b[head:])
			if f.order != orderNone && !f.inOrder(v) {
				return nil, f.orderError(v)
			}
		}
		if f.on != nil {
			f.on(b[:head], v, now)
		}
		b = b[size:]
	}
	return b, nil
}

// resume takes the rest of a cut frame, or as much of it as b holds.
func (f *frames) resume(b []byte, now int64) ([]byte, error) {
	if short := min(f.head+stampBytes, f.size) - len(f.keep); short > 0 {
		f.keep = append(f.keep, b[:min(short, len(b))]...)
	}
	n := min(f.size-f.pos, len(b))
	f.pos += n
	if f.pos < f.size {
		return nil, nil
	}
	f.pos = 0
	if b[n-1] != '\n' || f.keep[f.head-1] != '\n' {
		return nil, fmt.Errorf("frame %d: %w: %.80q", f.count, errStray, f.keep)
	}
	f.count++
	var v uint64
	if f.size-2-f.head >= stampBytes {
		v = binary.LittleEndian.Uint64(f.keep[f.head:])
		if f.order != orderNone && !f.inOrder(v) {
			return nil, f.orderError(v)
		}
	}
	if f.on != nil {
		f.on(f.keep[:f.head], v, now)
	}
	return b[n:], nil
}

func (f *frames) inOrder(v uint64) bool {
	publisher, seq := int(v>>48), v&seqMask
	if publisher >= len(f.next) || seq < f.next[publisher] {
		return false
	}
	if f.order == orderExactly && seq != f.next[publisher] {
		return false
	}
	f.next[publisher] = seq + 1
	return true
}

func (f *frames) orderError(v uint64) error {
	publisher := int(v >> 48)
	if publisher >= len(f.next) {
		return fmt.Errorf("delivery %d carries stamp %#x of no publisher", f.count, v)
	}
	return fmt.Errorf("delivery %d from publisher %d has number %d, expected %d: lost, repeated or out of order",
		f.count, publisher, v&seqMask, f.next[publisher])
}

// control takes one line: the first MSG, from which the shape is learnt, or
// anything else a server says.
func (f *frames) control(b []byte) ([]byte, error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		f.line = append(f.line, b...)
		if len(f.line) > 64<<10 {
			return nil, errStray
		}
		return nil, nil
	}
	f.line = append(f.line, b[:end+1]...)
	line := f.line
	f.line = f.line[:0]
	b = b[end+1:]
	switch {
	case f.first == 0 && (line[0] == 'M' || line[0] == 'H'):
		return b, f.learn(line)
	case bytes.HasPrefix(line, []byte("PONG")):
		f.pongs++
		if f.pong != nil {
			f.pong()
		}
	case bytes.HasPrefix(line, []byte("PING")):
		return b, f.c.owePong()
	case bytes.HasPrefix(line, []byte("-ERR")):
		return nil, fmt.Errorf("server answered %s", bytes.TrimSpace(line))
	case bytes.HasPrefix(line, []byte("INFO")), bytes.HasPrefix(line, []byte("+OK")):
	default:
		return nil, fmt.Errorf("%w: %.80q", errStray, line)
	}
	return b, nil
}

// learn fixes the shape of all frames to come; line becomes the cut frame in
// progress.
func (f *frames) learn(line []byte) error {
	fields := bytes.Fields(line)
	if len(fields) < 4 {
		return fmt.Errorf("%w: %.80q", errStray, line)
	}
	size, err := strconv.Atoi(string(fields[len(fields)-1]))
	if err != nil || size < 0 || size > 64<<20 {
		return fmt.Errorf("%w: %.80q", errStray, line)
	}
	header := 0
	if line[0] == 'H' {
		if header, err = strconv.Atoi(string(fields[len(fields)-2])); err != nil || header < 0 || header > size {
			return fmt.Errorf("%w: %.80q", errStray, line)
		}
	}
	f.first, f.head, f.size = line[0], len(line)+header, len(line)+size+2
	f.keep = append(f.keep[:0], line...)
	f.pos = len(line)
	return nil
}

// owePong answers a PING now, or leaves that to the goroutine that owns the
// write side.
func (c *conn) owePong() error {
	if c.writer {
		c.pongDue.Store(true)
		return nil
	}
	return c.write([]byte("PONG\r\n"))
}
