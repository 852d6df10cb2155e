package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"syscall"

	"peregrine/jetstream/store/seqset"
	"peregrine/vfs"
)

// Severity is how bad a Finding is.
type Severity uint8

const (
	// Note is what a crash or a running server leaves: nothing is wrong.
	Note Severity = iota
	// Repairable is damage that the next opening puts right without loss.
	Repairable
	// Damage is something that was stored and cannot be read.
	Damage
)

// String is a word for reports.
func (s Severity) String() string { return [...]string{"note", "repairable", "damage"}[s] }

// A Finding is something about a file that an operator should know.
type Finding struct {
	Severity Severity
	File     string // name in the file system
	Offset   int64  // bytes from its beginning, -1 for the whole file
	Text     string
	Lost     seqset.Range // messages that cannot be read, {0, 0} for none
}

// An Inspection is what Inspect found in a stream's folder.
type Inspection struct {
	Identity   uint64
	Generation uint64 // of the newer good state
	Position   uint64 // of the log: what is older is in the files
	Cipher     Cipher // of the stream's own key
	// Locked tells that no key opens the state. Only sums were checked then, and
	// what follows is empty.
	Locked bool
	State  State // at the checkpoint; FirstTime and Subjects need all columns
	Limits Limits
	Lost   []seqset.Range // known to be lost from earlier
	Blocks []BlockInfo

	Bytes    int64 // read
	Findings []Finding
	Omitted  int // findings beyond findingsMax
}

// findingsMax is how many findings of one stream are kept.
const findingsMax = 1000

// A BlockInfo describes one block at the checkpoint.
type BlockInfo struct {
	File        string // base name
	First, Next Seq    // sequences [First, Next)
	Msgs        int    // live ones
	Bytes       int    // of all records
	Live        int    // bytes of live records
	Chunks      int
	Stored      int64 // bytes of all chunks as they are on disk
	Packed      int   // chunks that are compressed or encrypted
	Sealed      bool
}

// An Inspector is told what Inspect sees. Nil functions are not called.
type Inspector struct {
	// Shallow reads the state alone, not what it refers to.
	Shallow bool
	// Record gets each record of a block, also of messages that were removed; m is
	// borrowed. offset is that of the record, or of its chunk, if that is packed.
	Record func(file string, offset int64, m *Message, live bool) error
	// Read is told how many bytes were read since the last call.
	Read func(bytes int64)
}

// inspection is an Inspect under way.
type inspection struct {
	*Stream
	*Inspection
	tell     Inspector
	subjects map[string]struct{}
	stored   *columns // of the block at hand, nil if there are none
	vague    []int    // findings whose range of messages has no known end
}

// Inspect reads everything in a stream's folder, checks every sum and whether
// state, columns and records agree, and changes nothing. Damage is no error but a
// Finding. Errors: those of the file system that are no damage, those of tell.
func Inspect(f Files, tell Inspector) (*Inspection, error) {
	in := &inspection{Stream: newStream(Options{}), Inspection: &Inspection{}, tell: tell, subjects: map[string]struct{}{}}
	in.disk = &disk{files: f.withDefaults(), erasing: map[*block]bool{}}
	defer in.closeAll()
	good, err := in.states()
	if err != nil {
		return nil, err
	}
	if !good {
		return in.Inspection, in.lockedBlocks()
	}
	if err := in.folder(); err != nil {
		return nil, err
	}
	for _, b := range in.blocks {
		if err := in.block(b); err != nil {
			return nil, err
		}
	}
	in.Inspection.State.Subjects = len(in.subjects)
	return in.Inspection, nil
}

func (in *inspection) closeAll() {
	for _, b := range in.blocks {
		in.closeFiles(b)
	}
}

func (in *inspection) find(severity Severity, file string, offset int64, format string, args ...any) *Finding {
	if len(in.Findings) == findingsMax {
		in.Omitted++
		return &Finding{}
	}
	in.Findings = append(in.Findings, Finding{Severity: severity, File: file, Offset: offset, Text: fmt.Sprintf(format, args...)})
	return &in.Findings[len(in.Findings)-1]
}

func (in *inspection) read(n int64) {
	in.Inspection.Bytes += n
	if in.tell.Read != nil {
		in.tell.Read(n)
	}
}

// states reads both copies of the state and decodes the newer good one. false
// means that there is none that can be opened.
func (in *inspection) states() (bool, error) {
	type version struct {
		name string
		body []byte
		disk *disk
	}
	var all []version
	for _, name := range stateNames {
		full := in.path(name)
		b, err := vfs.ReadFile(in.files.FS, full, stateMax)
		if errors.Is(err, fs.ErrNotExist) {
			in.find(Repairable, full, -1, "is missing")
			continue
		}
		if err != nil && !errors.Is(err, vfs.ErrTooLong) && !errors.Is(err, io.ErrUnexpectedEOF) && !unreadable(err) {
			return false, err
		}
		in.read(int64(len(b)))
		d := &disk{files: in.files}
		body, generation, err := d.openState(b)
		d.generation = generation
		switch {
		case errors.Is(err, ErrKey):
			in.Locked = true
			in.find(Note, full, -1, "cannot be opened with the keys given: only sums are checked")
		case err != nil:
			in.find(Repairable, full, 0, "this copy of the state is not valid")
		default:
			all = append(all, version{name, body, d})
		}
	}
	slices.SortStableFunc(all, func(a, b version) int { return cmp.Compare(b.disk.generation, a.disk.generation) })
	if len(all) == 2 && all[0].disk.generation != all[1].disk.generation {
		in.find(Note, in.path(all[1].name), 0, "holds checkpoint %d, the other copy %d: the last one was interrupted",
			all[1].disk.generation, all[0].disk.generation)
	}
	for _, v := range all {
		in.generation, in.key = v.disk.generation, v.disk.key
		err := in.decodeState(v.body)
		if err == nil {
			return true, in.summary()
		}
		in.find(Damage, in.path(v.name), stateHead, "the state contradicts itself: %v", err)
		*in.Stream = Stream{options: Options{}.withDefaults(), disk: &disk{files: in.files, erasing: map[*block]bool{}}}
	}
	if !in.Locked {
		in.find(Damage, in.files.Dir, -1, "no copy of the state can be used: the stream cannot be opened")
	}
	return false, nil
}

// unreadable tells damage, of the disk too, from trouble of another kind.
func unreadable(err error) bool { return isBroken(err) || errors.Is(err, syscall.EIO) }

// summary copies what the state says.
func (in *inspection) summary() error {
	in.disk.bind = in.identity
	var err error
	if in.codec, err = in.newFormat(); err != nil {
		return err
	}
	i := in.Inspection
	i.Identity, i.Generation, i.Position, i.Cipher = in.identity, in.generation, in.position, in.key.Cipher
	i.Limits = in.options.Limits
	i.State = State{Msgs: in.msgs, Bytes: in.Stream.bytes, First: in.first, Last: in.last, LastTime: in.lastTime, NumDeleted: in.deleted.Len()}
	in.lost.Each(0, uint64(in.last), func(r seqset.Range) bool {
		i.Lost = append(i.Lost, r)
		in.find(Damage, in.files.Dir, -1, "messages were found lost earlier").Lost = r
		return true
	})
	return nil
}

// folder looks for files that the state does not know.
func (in *inspection) folder() error {
	entries, err := in.files.FS.List(in.files.Dir)
	if err != nil {
		return err
	}
	blocks := map[uint32]*block{}
	known := map[string]bool{stateNames[0]: true, stateNames[1]: true}
	for _, b := range in.blocks {
		known[b.fileName()], blocks[b.id] = true, b
	}
	for _, g := range in.garbage {
		known[g.name] = true
	}
	next := in.nextBlock
	for _, e := range entries {
		full := in.path(e.Name)
		switch {
		case known[e.Name]:
		case e.Name == quarantineDir && e.Dir:
			in.find(Note, full, -1, "holds files that an earlier opening did not know")
		case in.unfinished(e.Name, next, blocks):
			in.find(Note, full, -1, "was begun after the last checkpoint: the log has what is in it")
		default:
			in.find(Repairable, full, -1, "nothing refers to it: it will be moved to %s", path.Join(in.files.Dir, quarantineDir))
		}
	}
	return nil
}

// block checks one block: its file, chunks, records and columns.
func (in *inspection) block(b *block) error {
	info := BlockInfo{File: b.fileName(), First: b.first, Next: b.next(), Msgs: b.live, Live: b.bytes,
		Bytes: int(b.end), Chunks: len(b.chunks), Sealed: b.sealed}
	full := in.path(info.File)
	if in.tell.Shallow {
		for _, c := range b.chunks {
			info.Stored += c.place.room()
		}
	} else if b.size > 0 {
		size, err := in.fileSize(b, full)
		if err != nil {
			return err
		}
		if in.stored, err = in.columnsAt(b, full, size); err != nil {
			return err
		}
		found := &columns{ids: map[string]uint32{}}
		for _, c := range b.chunks {
			info.Stored += c.place.room()
			if err := in.chunk(b, c, full, size, found, &info); err != nil {
				return err
			}
		}
		in.sharpen(b.next())
		in.compare(b, full, found)
		in.closeFiles(b)
	}
	in.Blocks = append(in.Blocks, info)
	return nil
}

// fileSize is how long a block's file is, 0 if it is missing.
func (in *inspection) fileSize(b *block, full string) (int64, error) {
	e, err := in.files.FS.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		in.find(Damage, full, -1, "is missing").Lost = in.liveRange(b.first, b.next())
		return 0, nil
	case err != nil:
		return 0, err
	case e.Dir:
		in.find(Damage, full, -1, "is a folder").Lost = in.liveRange(b.first, b.next())
		return 0, nil
	case e.Size < b.size:
		in.find(Damage, full, e.Size, "ends here, %d bytes early", b.size-e.Size)
	}
	return e.Size, nil
}

// columnsAt reads the columns of a block, nil if there are none or they are bad.
func (in *inspection) columnsAt(b *block, full string, size int64) (*columns, error) {
	p := b.index
	if !p.written() || size == 0 {
		return nil, nil
	}
	var raw []byte
	err := error(ErrCorrupt)
	if p.off+p.room() <= size {
		raw, err = in.readChunk(nil, b, kindIndex, p)
		in.read(p.room())
	}
	if err == nil {
		var ix *columns
		if ix, err = columnsOf(raw); err == nil {
			return ix, nil
		}
	}
	if !unreadable(err) {
		return nil, err
	}
	in.find(Repairable, full, p.off, "the index is not valid: it is made again from the records")
	return nil, nil
}

// chunk checks a chunk and adds its records to found.
func (in *inspection) chunk(b *block, c *chunk, full string, size int64, found *columns, info *BlockInfo) error {
	p := c.place
	if p.off+p.room() > size {
		if size > 0 {
			in.lostBetween(b, full, p.off, b.first+Seq(len(found.offset)), c.start, c.start+c.size, "chunk is beyond the end of the file")
		}
		return nil
	}
	records, err := in.readChunk(nil, b, kindRecords, p)
	in.read(p.room())
	packed := in.packed(b, p)
	if packed {
		info.Packed++
	}
	if err != nil {
		if !unreadable(err) {
			return err
		}
		return in.badChunk(b, c, full, found, packed, err)
	}
	good := 0
	return in.records(b, c, records, full, found, packed, &good, func(offset int64, from, to uint32, text string) {
		in.lostBetween(b, full, offset, b.first+Seq(len(found.offset)), from, to, text)
	})
}

// packed tells whether what is in a chunk is somewhere else than its offset says.
func (in *inspection) packed(b *block, p place) bool {
	var head [chunkHead]byte
	if b.file == nil {
		return false
	}
	n, _ := b.file.ReadAt(head[:], p.off) // readChunk has told of errors
	return n == chunkHead && (head[6] != codecNone || head[7] != uint8(NoCipher))
}

// badChunk reports a damaged chunk. Records in the clear have sums of their own:
// the good ones are still shown, though the engine does not give them out, and
// the first bad one is the place that is told.
func (in *inspection) badChunk(b *block, c *chunk, full string, found *columns, packed bool, cause error) error {
	p, from := c.place, len(found.offset)
	text, offset := cause.Error(), p.off
	raw := make([]byte, p.stored)
	if !packed && b.file != nil && p.stored == c.size {
		if _, err := b.file.ReadAt(raw, p.off+chunkHead); err == nil {
			good, bad := 0, 0
			if err := in.records(b, c, raw, full, found, false, &good, func(at int64, _, _ uint32, _ string) {
				if bad++; bad == 1 {
					offset = at
				}
			}); err != nil {
				return err
			}
			text += fmt.Sprintf("; %d of its records are good, %d places are not", good, bad)
		}
	}
	in.lostBetween(b, full, offset, b.first+Seq(from), c.start, c.start+c.size, text)
	found.pad(in.slotsBelow(b, c.start+c.size, len(found.offset)), c.start+c.size)
	return nil
}

// records checks the records of a chunk and adds them to found. bad is told of
// places that hold none: offset in the file, and from and to in the block.
func (in *inspection) records(b *block, c *chunk, records []byte, full string, found *columns, packed bool,
	good *int, bad func(offset int64, from, to uint32, text string)) error {
	var m Message
	for at := uint32(0); at < c.size; {
		offset := c.place.off
		if !packed {
			offset += chunkHead + int64(at)
		}
		n := uint32(recordLen(records[min(int(at), len(records)):]))
		if n == 0 || at+n > c.size {
			bad(offset, c.start+at, c.start+c.size, "record's head is not valid")
			return nil
		}
		record := records[at : at+n]
		seq, gone := erased(record, in.identity)
		err := error(nil)
		if !gone {
			err = recordOf(record, &m, in.identity)
			seq = m.Seq
		}
		slot := int64(seq) - int64(b.first)
		switch {
		case err != nil || slot < int64(len(found.offset)) || slot >= int64(b.slots):
			bad(offset, c.start+at, c.start+at+n, "record is not valid")
		case gone:
			*good++
			found.pad(int(slot), c.start+at)
			found.push(c.start+at, slotAbsent|slotErased, chainNone)
		default:
			*good++
			found.pad(int(slot), c.start+at)
			if err := in.record(found, c.start+at, &m, full, offset); err != nil {
				return err
			}
		}
		at += n
	}
	return nil
}

// record takes note of a good record.
func (in *inspection) record(found *columns, at uint32, m *Message, full string, offset int64) error {
	in.sharpen(m.Seq)
	found.push(at, found.word(m), chainFar)
	live := in.live(m.Seq)
	if live {
		in.subjects[string(m.Subject)] = struct{}{}
		if in.Inspection.State.FirstTime == 0 {
			in.Inspection.State.FirstTime = m.Time
		}
	}
	if in.tell.Record == nil {
		return nil
	}
	return in.tell.Record(full, offset, m, live)
}

// live tells whether the state says that a message is there.
func (in *inspection) live(seq Seq) bool {
	return seq >= in.first && seq <= in.last && !in.deleted.Contains(uint64(seq))
}

// lostBetween reports damage to the records at [from, to) of a block, of which
// the first may be that of message first. Which messages that takes is known from
// the columns, if they are there.
func (in *inspection) lostBetween(b *block, full string, offset int64, first Seq, from, to uint32, text string) {
	end := b.next()
	switch ix := in.stored; {
	case ix != nil && len(ix.offset) > 0 && to <= ix.offset[len(ix.offset)-1]:
		first = b.first + Seq(in.slotsBelow(b, from, 0))
		end = b.first + Seq(in.slotsBelow(b, to, 0))
	default:
		in.vague = append(in.vague, len(in.Findings)) // the next good record tells where it ends
	}
	f := in.find(Damage, full, offset, "%s", text)
	f.Lost = in.liveRange(first, end)
}

// sharpen ends the ranges of findings that are not known to end before seq.
func (in *inspection) sharpen(seq Seq) {
	for _, i := range in.vague {
		if i < len(in.Findings) {
			f := &in.Findings[i]
			f.Lost = in.liveRange(Seq(f.Lost.First), min(Seq(f.Lost.Last)+1, seq))
		}
	}
	in.vague = in.vague[:0]
}

// slotsBelow is how many slots have their records before an offset, by the columns;
// without them, otherwise.
func (in *inspection) slotsBelow(b *block, offset uint32, otherwise int) int {
	if in.stored == nil {
		return otherwise
	}
	n := sort.Search(len(in.stored.offset), func(i int) bool { return in.stored.offset[i] >= offset })
	return min(n, b.slots)
}

// liveRange narrows [first, end) to live messages at its ends; {0, 0} if there is
// none.
func (in *inspection) liveRange(first, end Seq) seqset.Range {
	first = max(first, in.first)
	first = Seq(in.deleted.NextAbsent(uint64(first)))
	end = min(end, in.last+1)
	for end > first && !in.live(end-1) {
		end = Seq(in.deleted.PrevAbsent(uint64(end-1))) + 1
	}
	if first >= end {
		return seqset.Range{}
	}
	return seqset.Range{First: uint64(first), Last: uint64(end - 1)}
}

// compare tells whether columns say what the records say.
func (in *inspection) compare(b *block, full string, found *columns) {
	stored := in.stored
	if stored == nil {
		return
	}
	n := min(len(stored.offset), len(found.offset))
	for slot := range n {
		seq := b.first + Seq(slot)
		if !in.live(seq) || found.subject[slot]&slotAbsent != 0 {
			continue
		}
		s, f := stored.subject[slot], found.subject[slot]
		const flags = slotHeader | slotTTL
		if s&slotAbsent != 0 || stored.offset[slot] != found.offset[slot] || s&flags != f&flags ||
			stored.names[s&slotName] != found.names[f&slotName] {
			in.find(Damage, full, b.index.off, "the index contradicts the record of message %d", seq).Lost =
				seqset.Range{First: uint64(seq), Last: uint64(seq)}
			return
		}
	}
}

// lockedBlocks checks the sums of chunks in a folder whose state cannot be read.
func (in *inspection) lockedBlocks() error {
	entries, err := in.files.FS.List(in.files.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Dir && path.Ext(e.Name) == ".blk" {
			if err := in.lockedBlock(in.path(e.Name), e.Size); err != nil {
				return err
			}
		}
	}
	return nil
}
