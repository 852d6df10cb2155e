package engine

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/store"
	"peregrine/vfs"
)

const (
	killDir     = "PEREGRINE_TEST_ENGINE_DIR" // directory of a child that TestKill starts
	killShards  = 2
	killStreams = 3 // of each shard
	killMax     = 3000
)

// TestKill kills a process that stores as fast as it can, again and again on one
// directory, and checks that what it said was durable is there, in order, once,
// whole, and that nothing is there that was never stored.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		storeForEver(t, dir)
		return
	}
	dir := t.TempDir()
	told := map[string]uint64{}
	for round := range 6 {
		for name, seq := range killAfter(t, dir, 10+40*round) {
			told[name] = max(told[name], seq)
		}
		if round%3 == 1 {
			continue // the next process starts from what this one left
		}
		found := checkStreams(t, dir)
		for name, seq := range told {
			if found[name] < seq {
				t.Fatalf("round %d: %s ends at %d, durable was %d", round, name, found[name], seq)
			}
		}
		t.Logf("round %d: %v", round, found)
	}
}

// killAfter starts a child, kills it after so many lines and returns the newest
// durable sequences it told.
func killAfter(t *testing.T, dir string, lines int) map[string]uint64 {
	child := exec.Command(os.Args[0], "-test.run=^TestKill$")
	child.Env = append(os.Environ(), killDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	defer child.Wait()
	defer child.Process.Kill()
	told := map[string]uint64{}
	in := bufio.NewScanner(out)
	for range lines {
		if !in.Scan() {
			t.Fatal("the child ended by itself")
		}
		for _, pair := range strings.Fields(in.Text()) {
			name, seq, ok := strings.Cut(pair, "=")
			var n uint64
			if _, err := fmt.Sscan(seq, &n); !ok || err != nil {
				t.Fatalf("child says %q", in.Text())
			}
			told[name] = max(told[name], n)
		}
	}
	return told
}

func openKilled(t *testing.T, dir string) *Engine {
	fsys, err := vfs.OpenDisk(dir, vfs.DiskOptions{})
	must(t, err)
	e, report, err := Open(fsys, Options{
		Shards: killShards,
		Log:    commitlog.Options{SegmentBytesMin: 256 << 10, SegmentBytesMax: 1 << 20, PressureBytes: 4 << 20},
		Stream: func(_ ID, meta []byte) StreamOptions { return killOptions(string(meta)) },
	})
	must(t, err)
	if len(report.Broken)+len(report.Stores)+len(report.Log.Damages) > 0 {
		t.Fatalf("report %+v", report)
	}
	return e
}

// killOptions are small, so that blocks are sealed, compacted and removed.
func killOptions(name string) StreamOptions {
	o := StreamOptions{FlushBytes: 64 << 10, CacheBytes: 128 << 10}
	o.Options.BlockBytes, o.Options.ChunkBytes = 512<<10, 32<<10
	switch name[len(name)-1] {
	case '1':
		o.Options.Limits.MaxMsgs = killMax
	case '2':
		o.Options.Limits.MaxMsgsPerSubject = 100
		o.Compress = true
	}
	return o
}

// checkStreams opens what a killed process left, reads every message and returns
// the last sequences.
func checkStreams(t *testing.T, dir string) map[string]uint64 {
	e := openKilled(t, dir)
	defer e.Close()
	last := map[string]uint64{}
	for _, s := range e.Shards() {
		s.Streams(func(st *Stream) {
			name := string(st.Meta())
			state, err := st.Messages.State()
			must(t, err)
			last[name] = uint64(state.Last)
			var m store.Message
			next := state.First
			for ; next <= state.Last; next++ {
				err := st.Messages.Load(next, &m)
				if err == store.ErrNotFound && name[len(name)-1] == '2' {
					continue
				}
				if err != nil || string(m.Payload) != string(killPayload(nil, name, uint64(next))) {
					t.Fatalf("%s %d: %v, or not what was stored", name, next, err)
				}
			}
			if name[len(name)-1] == '1' && state.Msgs != min(killMax, uint64(state.Last)) {
				t.Errorf("%s: %+v", name, state)
			}
			st.Consumers(func(c *Consumer) {
				last["consumer-of-"+name] = uint64(c.State.Delivered().Stream)
			})
		})
	}
	return last
}

// killPayload is the content of a message, of a length that differs.
func killPayload(dst []byte, name string, seq uint64) []byte {
	dst = append(dst[:0], name...)
	for n := seq * 2654435761 % 1500; n > 8; n -= 8 {
		dst = binary.LittleEndian.AppendUint64(dst, seq*n)
	}
	return binary.LittleEndian.AppendUint64(dst, seq)
}

// killer is the application of a child's shard.
type killer struct {
	s       *Shard
	t       *testing.T
	payload []byte
	waiting []killed // oldest first
}

// killed is where a shard stood at a mark.
type killed struct {
	mark Mark
	line string
}

func (k *killer) Turn(now int64) bool {
	line := ""
	k.s.Streams(func(st *Stream) {
		name := string(st.Meta())
		var seq store.Seq
		for range 20 {
			state, err := st.Messages.State()
			must(k.t, err)
			k.payload = killPayload(k.payload, name, uint64(state.Last)+1)
			m := store.Message{Time: now, Subject: fmt.Appendf(nil, "s.%d", state.Last%10), Payload: k.payload}
			seq, err = st.Messages.Append(&m)
			must(k.t, err)
		}
		line += fmt.Sprintf(" %s=%d", name, seq)
		st.Consumers(func(c *Consumer) {
			must(k.t, c.State.Apply(&store.ConsumerChange{Delivered: store.Position{Stream: seq}}))
			line += fmt.Sprintf(" consumer-of-%s=%d", name, seq)
		})
	})
	k.waiting = append(k.waiting, killed{k.s.Mark(), line})
	return true
}

func (k *killer) Durable(m Mark) {
	n := 0
	for n < len(k.waiting) && k.waiting[n].mark <= m {
		n++
	}
	if n > 0 {
		fmt.Println(k.waiting[n-1].line)
		k.waiting = append(k.waiting[:0], k.waiting[n:]...)
	}
}

func (k *killer) Failed(_ *Stream, _ *Consumer, err error) { must(k.t, err) }

// storeForEver is the child.
func storeForEver(t *testing.T, dir string) {
	e := openKilled(t, dir)
	e.Start(func(s *Shard) App { return &killer{s: s, t: t} })
	for _, s := range e.Shards() {
		s.Do(func(s *Shard) {
			taken := map[string]bool{} // a killed child may have made any of them
			for _, st := range s.list {
				taken[string(st.meta)] = true
			}
			for i := range killStreams {
				name := fmt.Sprintf("%d-%d", s.Index(), i)
				if taken[name] {
					continue
				}
				s.CreateStream([]byte(name), killOptions(name), func(st *Stream, err error) {
					must(t, err)
					_, err = s.CreateConsumer(st, nil)
					must(t, err)
				})
			}
		})
	}
	select {}
}
