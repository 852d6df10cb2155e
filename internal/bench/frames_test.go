package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// delivery encodes one MSG frame with a stamp.
func delivery(publisher int, seq uint64, payload int) string {
	p := make([]byte, payload)
	if payload >= stampBytes {
		binary.LittleEndian.PutUint64(p, stamp(publisher, seq))
	}
	return fmt.Sprintf("MSG bench.00 1 %d\r\n%s\r\n", payload, p)
}

// I2: whatever the reads look like, frames are counted and their order seen.
func TestFramesSplitAtEveryByte(t *testing.T) {
	for _, payload := range []int{0, 3, 8, 16, 200} {
		stream := "INFO {}\r\n"
		for i := range uint64(5) {
			stream += delivery(0, i, payload)
			if i == 2 {
				stream += "+OK\r\n"
			}
			stream += delivery(1, i, payload)
		}
		for cut := range len(stream) + 1 {
			f := &frames{order: orderExactly, next: make([]uint64, 2), done: newFlow(100)}
			for _, part := range []string{stream[:cut], stream[cut:]} {
				if err := f.feed([]byte(part), 0); err != nil {
					t.Fatalf("payload %d, cut at %d: %v", payload, cut, err)
				}
			}
			if f.count != 10 || f.done.got.Load() != 10 {
				t.Fatalf("payload %d, cut at %d: counted %d", payload, cut, f.count)
			}
		}
	}
}

// Headers belong to what comes before the payload: the stamp is behind them, and
// the line handed on begins with the frame.
func TestFramesWithHeaders(t *testing.T) {
	const header = "NATS/1.0\r\nA: b\r\n\r\n"
	frame := func(seq uint64) string {
		payload := string(binary.LittleEndian.AppendUint64(nil, stamp(0, seq)))
		return fmt.Sprintf("HMSG bench.00 1 reply %d %d\r\n%s%s\r\n", len(header), len(header)+len(payload), header, payload)
	}
	stream := frame(0) + frame(1) + frame(2)
	for cut := range len(stream) + 1 {
		f := &frames{order: orderExactly, next: make([]uint64, 1)}
		f.on = func(line []byte, _ uint64, _ int64) {
			if string(lineReply(line)) != "reply" {
				t.Fatalf("cut at %d: %q", cut, line)
			}
		}
		for _, part := range []string{stream[:cut], stream[cut:]} {
			if err := f.feed([]byte(part), 0); err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		if f.count != 3 {
			t.Fatalf("cut at %d: counted %d", cut, f.count)
		}
	}
}

func TestFramesRandomSplits(t *testing.T) {
	const seed = 7
	t.Log("seed", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		payload, n := 8+rnd.IntN(300), 1+rnd.IntN(50)
		var stream strings.Builder
		for i := range n {
			stream.WriteString(delivery(0, uint64(i), payload))
		}
		f := &frames{order: orderExactly, next: make([]uint64, 1)}
		var seen uint64
		f.on = func(line []byte, v uint64, _ int64) {
			if v != seen || !strings.HasPrefix(string(line), "MSG bench.00 1 ") {
				t.Fatalf("frame %d: stamp %d line %q", seen, v, line)
			}
			seen++
		}
		for rest := stream.String(); rest != ""; {
			k := 1 + rnd.IntN(min(len(rest), 100))
			if err := f.feed([]byte(rest[:k]), 0); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		if seen != uint64(n) {
			t.Fatalf("saw %d of %d", seen, n)
		}
	}
}

func TestFramesErrors(t *testing.T) {
	fails := func(name string, o order, stream, want string) {
		t.Helper()
		f := &frames{order: o, next: make([]uint64, 1)}
		err := f.feed([]byte(stream), 0)
		if want == "" && err == nil {
			return
		}
		if err == nil || !strings.Contains(err.Error(), want) || want == "" {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	first := delivery(0, 0, 16)
	fails("lost", orderExactly, first+delivery(0, 2, 16), "expected 1")
	fails("repeated", orderExactly, first+first, "number 0, expected 1")
	fails("repeated in a queue group", orderRising, first+first, "number 0, expected 1")
	fails("gap in a queue group", orderRising, first+delivery(0, 9, 16), "")
	fails("nobody looks", orderNone, first+first, "")
	fails("unknown publisher", orderExactly, delivery(4, 0, 16), "no publisher")
	fails("error line", orderExactly, first+"-ERR 'Slow Consumer'\r\n", "Slow Consumer")
	fails("stray line", orderExactly, "HELLO\r\n", errStray.Error())
	fails("huge size", orderExactly, "MSG a 1 99999999999\r\n", errStray.Error())
	fails("negative size", orderExactly, "MSG a 1 -5\r\n", errStray.Error())
	fails("header longer than the message", orderExactly, "HMSG a 1 9 5\r\n", errStray.Error())
	fails("negative header", orderExactly, "HMSG a 1 -1 5\r\n", errStray.Error())
	fails("short line", orderExactly, "MSG a\r\n", errStray.Error())
	fails("other shape", orderExactly, first+delivery(0, 1, 17), errStray.Error())
	fails("endless line", orderExactly, strings.Repeat("x", 70<<10), errStray.Error())
}

func TestPongsAreCounted(t *testing.T) {
	n := 0
	f := &frames{pong: func() { n++ }}
	for _, part := range []string{"PONG\r\nPO", "NG\r\nINFO {}\r\n", "PONG\r\n"} {
		if err := f.feed([]byte(part), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n != 3 {
		t.Fatalf("%d PONGs", n)
	}
}

// I3: nothing is allocated per message.
func TestFeedAllocatesNothing(t *testing.T) {
	b := newBlock("bench.00", "", 16, 4096, 1000)
	if n := testing.AllocsPerRun(100, func() { b.stampFrom(stamp(0, 5)) }); n != 0 {
		t.Errorf("stamping allocates %v", n)
	}
	stream := []byte(strings.Repeat(delivery(0, 0, 16), 100))
	stream = append(stream, delivery(0, 0, 16)[:20]...)
	f := &frames{done: newFlow(10)}
	if n := testing.AllocsPerRun(100, func() {
		if err := f.feed(stream, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.feed([]byte(nil), 0); err != nil {
			t.Fatal(err)
		}
		f.pos, f.keep = 0, f.keep[:0]
	}); n != 0 {
		t.Errorf("feeding allocates %v", n)
	}
}

func TestBlockStamps(t *testing.T) {
	b := newBlock("s", "", 8, 100, 1000)
	if b.frames != len(b.at) || b.frames < 2 {
		t.Fatalf("%d frames, %d stamps", b.frames, len(b.at))
	}
	b.stampFrom(stamp(3, 40))
	rest := string(b.bytes)
	for i := range b.frames {
		want := "PUB s 8\r\n" + string(binary.LittleEndian.AppendUint64(nil, stamp(3, 40+uint64(i)))) + "\r\n"
		if !strings.HasPrefix(rest, want) {
			t.Fatalf("frame %d: %q", i, rest)
		}
		rest = rest[len(want):]
	}
	if rest != "" {
		t.Fatalf("left over: %q", rest)
	}
	if small := newBlock("s", "", 7, 100, 1000); len(small.at) != 0 {
		t.Error("a payload of 7 bytes has room for a stamp?")
	}
	if one := newBlock("s", "r", 1<<20, 100, 1000); one.frames != 1 {
		t.Errorf("%d frames of a large message", one.frames)
	}
}

func TestOrderErrorIsTold(t *testing.T) {
	f := &frames{order: orderExactly, next: make([]uint64, 1)}
	if err := f.feed([]byte("MSG bench.00 1 5\rX"), 0); err != nil {
		t.Fatal("half a line is no error:", err)
	}
	if err := f.feed([]byte("\nabc\r\n"), 0); !errors.Is(err, errStray) {
		t.Fatalf("got %v", err)
	}
}
