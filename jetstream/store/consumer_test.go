package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"peregrine/internal/seeds"
	"peregrine/vfs"
)

// A consumer's state is the same after a crash at any moment.
func TestConsumerModel(t *testing.T) {
	seeds.Each(t, 20, func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 7))
		disk, log := vfs.NewMem(), &memoryLog{}
		if err := disk.MkdirAll("c"); err != nil {
			t.Fatal(err)
		}
		disk.SyncDir(".")
		f := Files{FS: disk, Dir: "c", Random: seeds.Bytes{R: r}}
		if k := Cipher(r.IntN(3)); k != NoCipher {
			f.Keys = []Key{DeriveKey(k, "secret", "a", "b")}
		}
		open := func() *Consumer {
			f.FS = disk
			c, from, err := OpenConsumer(log, f, "c1")
			if err != nil || from < log.needed {
				t.Fatalf("open: %v, from %d", err, from)
			}
			for _, rec := range log.records[from:] {
				if err := c.Replay(rec.kind, rec.payload); err != nil {
					t.Fatal(err)
				}
			}
			return c
		}
		c := open()
		model := map[Seq]PendingMessage{}
		var at ConsumerChange
		for step := range 400 {
			ch := ConsumerChange{Delivered: at.Delivered, AckFloor: at.AckFloor}
			for range r.IntN(4) {
				ch.Delivered.Delivery++
				ch.Delivered.Stream += Seq(r.IntN(3))
				p := PendingMessage{ch.Delivered.Stream, ch.Delivered.Delivery, r.Int64(), r.Uint32N(5)}
				ch.Pending = append(ch.Pending, p)
				model[p.Stream] = p
			}
			for range r.IntN(3) {
				seq := Seq(r.Uint64N(uint64(ch.Delivered.Stream) + 1))
				ch.Settled = append(ch.Settled, seq)
				delete(model, seq)
				ch.AckFloor = Position{DeliverySeq(seq), seq}
			}
			at = ch
			if err := c.Apply(&ch); err != nil {
				t.Fatal(err)
			}
			switch r.IntN(10) {
			case 0:
				c.Checkpoint()
			case 1:
				log.committed = log.End()
			case 2, 3:
				if j := c.Work(); j != nil {
					j.Run()
					c.Finish(j)
				}
			case 4:
				disk = disk.Crash(r, vfs.CrashOptions{Survive: float64(r.IntN(3)) / 2})
				c = open()
			}
			got := c.AllPending(nil)
			var want []PendingMessage
			for _, p := range model {
				want = append(want, p)
			}
			slices.SortFunc(want, func(a, b PendingMessage) int { return int(a.Stream) - int(b.Stream) })
			if !slices.Equal(got, want) || c.Delivered() != at.Delivered || c.AckFloor() != at.AckFloor {
				t.Fatalf("step %d:\n got %v\nwant %v", step, got, want)
			}
		}
	})
}

// Two copies: a byte flipped in either changes nothing, in both it is seen.
func TestConsumerCorruption(t *testing.T) {
	disk, log := vfs.NewMem(), &memoryLog{}
	disk.MkdirAll("c")
	f := Files{FS: disk, Dir: "c"}
	c, _, err := OpenConsumer(log, f, "c1")
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(&ConsumerChange{Delivered: Position{3, 4}, Pending: []PendingMessage{{4, 3, 1, 1}}})
	c.Checkpoint()
	log.committed = log.End()
	j := c.Work()
	j.Run()
	c.Finish(j)
	size, _ := disk.Stat("c/c1.a")
	for bit := int64(0); bit < size.Size*8; bit += 3 {
		for _, names := range [][]string{{"a"}, {"b"}, {"a", "b"}} {
			broken := disk.Clone()
			for _, name := range names {
				broken.FlipBit("c/c1."+name, bit)
			}
			f.FS = broken
			c, _, err := OpenConsumer(log, f, "c1")
			if len(names) == 2 {
				if err == nil {
					t.Fatalf("bit %d of both copies: not seen", bit)
				}
				continue
			}
			if err != nil || fmt.Sprint(c.AllPending(nil)) != "[{4 3 1 1}]" {
				t.Fatalf("bit %d of %s: %v", bit, names, err)
			}
		}
	}
}

func FuzzConsumerReplay(f *testing.F) {
	ch := ConsumerChange{Delivered: Position{3, 4}, Pending: []PendingMessage{{4, 3, -1, 1}}, Settled: []Seq{1, 2}}
	f.Add(appendChange(nil, &ch))
	f.Fuzz(func(t *testing.T, b []byte) {
		NewMemoryConsumer(nil).Replay(logConsumer, b)
		c := NewMemoryConsumer(nil)
		c.decode(b)
	})
}
