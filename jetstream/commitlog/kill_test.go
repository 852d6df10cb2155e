package commitlog

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"peregrine/vfs"
)

// killDir names the directory of a child that TestKill starts.
const killDir = "PEREGRINE_TEST_COMMITLOG_DIR"

// TestKill kills a process that appends as fast as it can, several times, and
// checks that what it said was committed is there, in order, once.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		appendForEver(t, dir)
		return
	}
	dir := t.TempDir()
	told := uint64(0)
	for round := range 4 {
		last := killAfter(t, dir, 20+round*30)
		told = max(told, last)
		found := replayNumbers(t, dir)
		if found < told {
			t.Fatalf("round %d: records up to %d, committed were %d", round, found, told)
		}
		told = found
	}
}

// killAfter starts a child, kills it after so many commits and returns the last
// number it said was committed.
func killAfter(t *testing.T, dir string, commits int) uint64 {
	child := exec.Command(os.Args[0], "-test.run=^TestKill$")
	child.Env = append(os.Environ(), killDir+"="+dir)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	defer child.Wait()
	defer child.Process.Kill()
	lines := bufio.NewScanner(out)
	var last uint64
	for i := 0; i < commits && lines.Scan(); i++ {
		if n, _ := fmt.Sscanf(lines.Text(), "committed %d", &last); n != 1 {
			t.Fatalf("child says %q", lines.Text())
		}
	}
	return last
}

// replayNumbers opens the log of a killed process and returns the last number in
// it.
func replayNumbers(t *testing.T, dir string) (last uint64) {
	log, report := openNumbers(t, dir, func(n uint64) error {
		if last != 0 && n != last+1 {
			return fmt.Errorf("%d after %d", n, last)
		}
		last = n
		return nil
	})
	if len(report.Damages) > 0 {
		t.Fatalf("damages %v", report.Damages)
	}
	must(t, log.Close())
	return last
}

func openNumbers(t *testing.T, dir string, each func(uint64) error) (*Log, *Report) {
	disk, err := vfs.OpenDisk(dir, vfs.DiskOptions{})
	must(t, err)
	options := Options{SegmentBytesMin: 256 << 10, SegmentBytesMax: 1 << 20, PressureBytes: 2 << 20}
	log, report, err := Open(disk, "log", options, Replay{Record: func(r Record) error {
		return each(binary.LittleEndian.Uint64(r.Data))
	}})
	must(t, err)
	return log, report
}

// appendForEver is the child.
func appendForEver(t *testing.T, dir string) {
	next := uint64(1)
	log, _ := openNumbers(t, dir, func(n uint64) error {
		next = n + 1
		return nil
	})
	log.Start()
	s := newSignal()
	w := log.NewWriter(s)
	o := w.Owner(1)
	var b Batch
	payload := make([]byte, 300)
	for {
		for range 1 + next%20 {
			binary.LittleEndian.PutUint64(payload, next)
			b.AddParts(o, 1, payload, nil) // copies: payload changes
			next++
		}
		s.append(t, w, &b)
		if next%3 == 0 {
			s.wait(t, b.End())
			fmt.Printf("committed %d\n", next-1)
		}
		b.Reset()
	}
}
