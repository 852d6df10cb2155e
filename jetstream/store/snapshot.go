package store

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
)

// archiveMagic begins the archive of a stream, the reference server's format from
// 2.15 on, which is then compressed as an S2 stream.
const archiveMagic = "NATSARC1"

const consumerPrefix = "consumers/"

// An archive's entry names and sizes are bounded before memory is taken for them.
const (
	archiveNameMax = SubjectBytesMax
	archiveTextMax = 64 << 20
)

// A Snapshot writes a stream's archive piece by piece, while the stream goes on
// changing: messages stored after it began are not in it, ones removed meanwhile
// may be missing.
//
// Shape, before compression: NATSARC1, then entries: uvarint name length, varint
// timestamp in nanoseconds, uvarint sequence, uvarint header size, uvarint payload
// size, name, header, payload. First state.json, then consumers/<name>, then the
// messages by sequence with their subject as name, then an entry of zeros.
type Snapshot struct {
	s     *Stream
	next  Seq
	last  Seq
	out   sink
	s2    *s2.Writer
	entry []byte
	done  bool
}

// sink collects what the compressor has written.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// archiveState is the content of state.json, by the names of the API.
type archiveState struct {
	Msgs      uint64    `json:"messages"`
	Bytes     uint64    `json:"bytes"`
	FirstSeq  Seq       `json:"first_seq"`
	FirstTime time.Time `json:"first_ts"`
	LastSeq   Seq       `json:"last_seq"`
	LastTime  time.Time `json:"last_ts"`
	Subjects  int       `json:"num_subjects,omitempty"`
	Deleted   uint64    `json:"num_deleted,omitempty"`
	Consumers int       `json:"consumer_count"`
}

// Snapshot begins an archive of the stream and of consumers, by name; their
// content is the caller's JSON. Errors: those of State.
func (s *Stream) Snapshot(names []string, consumer func(name string) []byte) (*Snapshot, error) {
	st, err := s.State()
	if err != nil {
		return nil, err
	}
	sn := &Snapshot{s: s, next: st.First, last: st.Last}
	sn.s2 = s2.NewWriter(&sn.out, s2.WriterConcurrency(1), s2.WriterBlockSize(64<<10))
	text, err := json.Marshal(archiveState{
		Msgs: st.Msgs, Bytes: st.Bytes, FirstSeq: st.First, FirstTime: unix(st.FirstTime),
		LastSeq: st.Last, LastTime: unix(st.LastTime), Subjects: st.Subjects, Deleted: st.NumDeleted, Consumers: len(names),
	})
	if err != nil {
		return nil, err
	}
	sn.s2.Write([]byte(archiveMagic))
	sn.add("state.json", 0, 0, nil, text)
	for _, name := range names {
		sn.add(consumerPrefix+name, 0, 0, nil, consumer(name))
	}
	return sn, nil
}

func unix(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

func (sn *Snapshot) add(name string, ts int64, seq Seq, header, payload []byte) {
	e := binary.AppendUvarint(sn.entry[:0], uint64(len(name)))
	e = binary.AppendVarint(e, ts)
	e = binary.AppendUvarint(e, uint64(seq))
	e = binary.AppendUvarint(e, uint64(len(header)))
	e = binary.AppendUvarint(e, uint64(len(payload)))
	e = append(append(e, name...), header...)
	sn.entry = e
	sn.s2.Write(e)
	sn.s2.Write(payload)
}

// Next returns at least want bytes of the archive, fewer only at its end, where it
// answers io.EOF with the last of them. They are good until the next call.
func (sn *Snapshot) Next(want int) ([]byte, error) {
	sn.out.b = sn.out.b[:0]
	var m Message
	for !sn.done && len(sn.out.b) < want {
		err := sn.s.LoadNext(Filter{}, sn.next, &m)
		switch {
		case err == nil && m.Seq <= sn.last:
			sn.add(string(m.Subject), m.Time, m.Seq, m.Header, m.Payload)
			sn.next = m.Seq + 1
		case err == nil || errors.Is(err, ErrNotFound):
			sn.add("", 0, 0, nil, nil)
			sn.done = true
			if err := sn.s2.Close(); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
	if sn.done {
		return sn.out.b, io.EOF
	}
	return sn.out.b, nil
}

// Restore fills an empty stream from an archive. consumer is given each
// consumer's content; ttl, if set, reads a message's TTL from its header. Errors:
// ErrInvalid, ErrSequence if the stream is not empty, those of r.
func (s *Stream) Restore(r io.Reader, ttl func(header []byte) uint32, consumer func(name string, content []byte) error) error {
	if s.msgs > 0 || s.stopped != nil {
		return fmt.Errorf("store: restore: %w", errors.Join(s.stopped, ErrSequence))
	}
	in := bufio.NewReader(s2.NewReader(r, s2.ReaderMaxBlockSize(4<<20)))
	var magic [len(archiveMagic)]byte
	if _, err := io.ReadFull(in, magic[:]); err != nil || string(magic[:]) != archiveMagic {
		return fmt.Errorf("store: restore: no archive: %w", ErrInvalid)
	}
	var e archiveEntry
	var st archiveState
	for first := true; ; first = false {
		if err := e.read(in); err != nil {
			return fmt.Errorf("store: restore: %w: %w", ErrInvalid, err)
		}
		var err error
		name := string(e.m.Subject)
		switch {
		case first:
			if name != "state.json" || json.Unmarshal(e.m.Payload, &st) != nil || st.LastSeq >= firstStale {
				err = ErrInvalid
			}
		case name == "" && e.m.Seq == 0:
			return s.restored(st)
		case e.m.Seq == 0 && strings.HasPrefix(name, consumerPrefix):
			err = consumer(strings.TrimPrefix(name, consumerPrefix), e.m.Payload)
		default:
			if ttl != nil {
				e.m.TTL = ttl(e.m.Header)
			}
			if s.msgs == 0 && st.FirstSeq > 0 && e.m.Seq > s.last+1 {
				err = s.Skip(e.m.Seq-1, 0)
			}
			if err == nil {
				err = s.AppendAt(&e.m)
			}
		}
		if err != nil {
			return fmt.Errorf("store: restore %q: %w", name, err)
		}
	}
}

// restored brings the last sequence to where it was.
func (s *Stream) restored(st archiveState) error {
	at := int64(0)
	if !st.LastTime.IsZero() {
		at = st.LastTime.UnixNano()
	}
	if st.LastSeq <= s.last {
		return nil
	}
	return s.Skip(st.LastSeq, at)
}

// archiveEntry is one entry of an archive; its memory is used again.
type archiveEntry struct {
	m   Message
	buf []byte
}

func (e *archiveEntry) read(in *bufio.Reader) error {
	name, err := binary.ReadUvarint(in)
	if err != nil {
		return err
	}
	if e.m.Time, err = binary.ReadVarint(in); err != nil {
		return err
	}
	seq, err := binary.ReadUvarint(in)
	if err != nil {
		return err
	}
	header, err := binary.ReadUvarint(in)
	if err != nil {
		return err
	}
	payload, err := binary.ReadUvarint(in)
	if err != nil {
		return err
	}
	if name > archiveNameMax || header > archiveTextMax || payload > archiveTextMax {
		return errors.New("entry too large")
	}
	if e.buf, err = readUpTo(in, e.buf[:0], int(name+header+payload)); err != nil {
		return err
	}
	e.m.Seq = Seq(seq)
	e.m.Subject = e.buf[:name:name]
	e.m.Header = e.buf[name : name+header : name+header]
	e.m.Payload = e.buf[name+header:]
	return nil
}

// readUpTo reads n bytes and takes memory as they come, not as they are claimed.
func readUpTo(in io.Reader, buf []byte, n int) ([]byte, error) {
	const step = 1 << 20
	for len(buf) < n {
		from := len(buf)
		buf = append(buf, make([]byte, min(step, n-from))...)
		if _, err := io.ReadFull(in, buf[from:]); err != nil {
			return buf, err
		}
	}
	return buf, nil
}
