package commitlog

import (
	"bytes"
	"testing"

	"github.com/cespare/xxhash/v2"

	"peregrine/vfs"
)

func TestRecordRoundTrip(t *testing.T) {
	payload := []byte("hello")
	b := make([]byte, recordSize(len(payload)))
	copy(b[recordHead:], payload)
	h := recordHeader{length: 5, kind: 9, flags: flagForwarded, owner: 1 << 40, chain: 77}
	h.sum = putRecordHead(b, h, 5, 8256, xxhash.Sum64(payload))
	if !checkRecord(b, 5, 8256) || recordHeadOf(b) != h {
		t.Fatalf("read %+v", recordHeadOf(b))
	}
	if checkRecord(b, 6, 8256) || checkRecord(b, 5, 8264) {
		t.Fatal("a record is valid at another place")
	}
	for i := range 37 * 8 {
		c := bytes.Clone(b)
		c[i/8] ^= 1 << (i % 8)
		if recordHeadOf(c).length <= len(payload) && checkRecord(c, 5, 8256) {
			t.Fatalf("bit %d flipped and not noticed", i)
		}
	}
}

func TestHeadersRoundTrip(t *testing.T) {
	b := make([]byte, vfs.BlockSize)
	batch := batchHeader{bytes: 4000, count: 3, epoch: 4, base: 5, prev: 6, chain: 7, synced: 8}
	putBatchHead(b, batch, 1, 8192)
	if got, ok := batchHeadOf(b, 1, 8192, 1<<20); !ok || got != batch {
		t.Fatalf("batch %+v", got)
	}
	if _, ok := batchHeadOf(b, 1, 8192, 8192+100); ok {
		t.Fatal("a batch that leaves its segment")
	}
	if _, ok := batchHeadOf(b, 1, 4096, 1<<20); ok {
		t.Fatal("a batch at another place")
	}
	segment := segmentHeader{log: 1, number: 2, slot: 3, size: 1 << 20, made: made{4, 5, 6}}
	putSegmentHead(b, segment, 1)
	if got, ok := segmentHeadOf(b, 1); !ok || got != segment {
		t.Fatalf("segment %+v", got)
	}
	if _, ok := segmentHeadOf(b, 0); ok {
		t.Fatal("the second copy taken for the first")
	}
	meta := metadata{generation: 1, log: 2, epoch: 3, first: 4, last: 5, clean: 6, chain: 7, base: 8}
	putMeta(b, meta, 0)
	if got, ok := metaOf(b, 0); !ok || got != meta {
		t.Fatalf("metadata %+v", got)
	}
	for i := range b {
		b[i] ^= 0x10
		if _, ok := metaOf(b, 0); ok {
			t.Fatalf("byte %d flipped and not noticed", i)
		}
		b[i] ^= 0x10
	}
}

func FuzzHeaders(f *testing.F) {
	b := make([]byte, vfs.BlockSize)
	putMeta(b, metadata{generation: 1, log: 2}, 0)
	f.Add(bytes.Clone(b))
	putSegmentHead(b, segmentHeader{log: 1, number: 2, slot: 3, size: 1 << 20}, 0)
	f.Add(bytes.Clone(b))
	putBatchHead(b, batchHeader{bytes: 100}, 1, 8192)
	f.Add(bytes.Clone(b))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := make([]byte, vfs.BlockSize)
		copy(whole, b)
		again := make([]byte, vfs.BlockSize)
		if m, ok := metaOf(whole, 0); ok {
			putMeta(again, m, 0)
		}
		if h, ok := segmentHeadOf(whole, 0); ok {
			putSegmentHead(again, h, 0)
			if h.size <= segmentHead || h.number == 0 {
				t.Fatalf("accepted %+v", h)
			}
		}
		if h, ok := batchHeadOf(whole, 1, 8192, 1<<20); ok {
			if h.bytes < batchHead || h.bytes > 1<<20-8192 {
				t.Fatalf("accepted %+v", h)
			}
		}
	})
}

// FuzzOpen opens a log of which one file is arbitrary.
func FuzzOpen(f *testing.F) {
	x := newExhibit(f, 5, 6, true)
	files := x.files(f)
	for i, e := range files {
		content, err := vfs.ReadFile(x.disk, testDir+"/"+e.Name, 1<<20)
		must(f, err)
		f.Add(uint8(i), content[:min(len(content), 12<<10)], uint16(0))
		f.Add(uint8(i), []byte("changed"), uint16(8200))
		f.Add(uint8(i), content[len(content)-min(len(content), 300):], uint16(12288))
	}
	f.Fuzz(func(t *testing.T, which uint8, patch []byte, off uint16) {
		disk := x.disk.Clone()
		e := files[int(which)%len(files)]
		must(t, disk.Corrupt(testDir+"/"+e.Name, func(b []byte) []byte {
			copy(b[min(int(off), len(b)):], patch)
			return b
		}))
		if _, err := x.judge(disk, true); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzRecords scans a segment of arbitrary bytes in which sums fit where they can:
// what is found is within the segment, and the search ends.
func FuzzRecords(f *testing.F) {
	b := make([]byte, 300)
	putRecordHead(b, recordHeader{length: 40, kind: 1, owner: 5, chain: 7}, 3, segmentHead, xxhash.Sum64(b[32:72]))
	f.Add(b, uint16(0))
	f.Add(b, uint16(8))
	f.Fuzz(func(t *testing.T, b []byte, place uint16) {
		const size = segmentHead + 8*vfs.BlockSize
		disk := vfs.NewMem()
		file, err := disk.Open("s", vfs.Create)
		must(t, err)
		must(t, file.Truncate(size))
		off := int64(place) &^ (recordAlign - 1) % (4 * vfs.BlockSize)
		b = bytes.Clone(b[:min(len(b), 4*vfs.BlockSize)])
		if len(b) >= recordHead {
			h := recordHeadOf(b)
			h.length = min(h.length, len(b)-recordHead)
			putRecordHead(b, h, 3, segmentHead+off, xxhash.Sum64(b[recordHead:recordHead+h.length]))
		}
		if len(b) > 0 {
			_, err = file.WriteAt(b, segmentHead+off)
			must(t, err)
		}
		s := &segment{number: 1, size: size, bind: 3, file: file}
		var w window
		w.reset(s, size)
		seen := func(r Record) error {
			if r.Position.Offset() < segmentHead || r.Position.Offset()+int64(len(r.Data)) > size {
				t.Fatalf("record at %v of %d bytes", r.Position, len(r.Data))
			}
			return nil
		}
		tail := tail{end: at(1, segmentHead+off), chain: 7}
		must(t, w.records(&tail, size, seen))
		budget := int64(salvageHashes * size)
		from := int64(segmentHead)
		for {
			start, _, ok, err := w.salvage(from, size, &budget)
			must(t, err)
			if !ok {
				break
			}
			if start < from {
				t.Fatal("the search went back")
			}
			from = start + recordAlign
		}
	})
}
