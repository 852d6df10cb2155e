package storebench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"peregrine/jetstream/engine"
	"peregrine/vfs"
)

// fillVerb makes this program fill a directory and then wait to be killed.
const fillVerb = "fill-and-wait"

// subjectsOf is how many subjects a stream has when n messages are spread over
// streams: a tenth of its messages.
func subjectsOf(messages, streams int) int { return max(1, messages/streams/10) }

// fillMain is the child process: fill-and-wait DIR MESSAGES STREAMS.
func fillMain(args []string, stdout, stderr io.Writer) int {
	err := fmt.Errorf("%s is not for people", fillVerb)
	if len(args) == 3 {
		messages, _ := strconv.Atoi(args[1])
		streams, _ := strconv.Atoi(args[2])
		err = fill(args[0], messages, streams, stdout)
	}
	fmt.Fprintf(stderr, "%v\n", err)
	return 1
}

// fill stores messages, says so, and never returns without an error.
func fill(dir string, messages, streams int, stdout io.Writer) error {
	disk, err := vfs.OpenDisk(dir, vfs.DiskOptions{})
	if err != nil {
		return err
	}
	rig, err := newRig(disk, streams, engine.StreamOptions{})
	if err != nil {
		return err
	}
	each := subjectsOf(messages, streams)
	subjects := make([][]byte, each*streams)
	for i := range subjects {
		subjects[i] = fmt.Appendf(nil, "orders.%d.%d", i%streams, i/streams)
	}
	rig.p.subject = func(i int) []byte { return subjects[i%len(subjects)] }
	if _, err := rig.publish(messages, 10*smallWindow, smallBytes); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "ready")
	select {} // until killed
}

// measureRestart opens a directory with many messages after a kill and after a
// clean stop, with nothing in the page cache.
func measureRestart(c *config, r *results) error {
	defer c.drop("restart")
	dir := filepath.Join(c.dir, "restart")
	start := time.Now()
	if err := c.fillAndKill(dir); err != nil {
		return err
	}
	filled := time.Since(start)
	disk, err := vfs.OpenDisk(dir, vfs.DiskOptions{})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s messages, %s streams, %s subjects", number(float64(c.messages)), number(float64(c.streams)),
		number(float64(c.streams*subjectsOf(c.messages, c.streams))))
	e, d, err := c.reopen(disk, dir)
	if err != nil {
		return err
	}
	r.atMost("reopen after kill: "+what, d.Seconds(), 3, "s", fmt.Sprintf("filled in %.0f s; log %d MiB", filled.Seconds(), e.Log().Stats().LiveBytes>>20))
	e.Start(nil)
	if err := e.Close(); err != nil {
		return err
	}
	before := heap()
	if e, d, err = c.reopen(disk, dir); err != nil {
		return err
	}
	held := int64(heap()) - int64(before)
	r.atMost("reopen after clean stop: the same", d.Seconds(), 1.5, "s", fmt.Sprintf("%d MiB of heap afterwards", held>>20))
	return e.Close()
}

// reopen opens the directory and checks that everything is there.
func (c *config) reopen(disk vfs.FS, dir string) (*engine.Engine, time.Duration, error) {
	if err := forget(dir); err != nil {
		return nil, 0, err
	}
	runtime.GC()
	start := time.Now()
	e, report, err := engine.Open(disk, options())
	took := time.Since(start)
	if err != nil {
		return nil, 0, err
	}
	found := uint64(0)
	e.Shards()[0].Streams(func(st *engine.Stream) {
		if state, stateErr := st.Messages.State(); stateErr != nil {
			err = stateErr
		} else {
			found += state.Msgs
		}
	})
	if err == nil && (found != uint64(c.messages) || report.Streams != c.streams) {
		err = fmt.Errorf("%d messages in %d streams came back, want %d in %d", found, report.Streams, c.messages, c.streams)
	}
	if err != nil {
		e.Close()
		return nil, 0, err
	}
	return e, took, nil
}

// fillAndKill has a child fill the directory and kills it.
func (c *config) fillAndKill(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, "store", "bench", fillVerb, dir, strconv.Itoa(c.messages), strconv.Itoa(c.streams))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	child.Process.Kill()
	child.Wait() // was killed
	if line != "ready\n" {
		return fmt.Errorf("the filling process ended early: %w", err)
	}
	return nil
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// measureMemory is what idle streams and tracked subjects take.
func measureMemory(c *config, r *results) error {
	if err := c.idleStreams(r); err != nil {
		return err
	}
	return c.trackedSubjects(r)
}

func (c *config) idleStreams(r *results) error {
	defer c.drop("idle")
	disk, err := c.folder("idle")
	if err != nil {
		return err
	}
	rig, err := newRig(disk, c.streams, engine.StreamOptions{})
	if err != nil {
		return err
	}
	rig.p.subject = func(i int) []byte { return fmt.Appendf(nil, "idle.%d", i/c.streams%4) }
	if _, err := rig.publish(c.streams*20, smallWindow, smallBytes); err != nil {
		return err
	}
	if err := rig.engine.Close(); err != nil {
		return err
	}
	rig = nil
	before := heap()
	e, _, err := engine.Open(disk, options())
	if err != nil {
		return err
	}
	trim(e)
	after := heap()
	r.atMost("memory per idle stream", float64(after-before)/float64(c.streams), 8192, "B", "20 messages on 4 subjects, the engine's part included")
	return e.Close()
}

// trim gives back what a stream that is not used gives back in time.
func trim(e *engine.Engine) {
	e.Shards()[0].Streams(func(st *engine.Stream) {
		st.Messages.Trim(0)
		st.Messages.Trim(0)
	})
}

func (c *config) trackedSubjects(r *results) error {
	defer c.drop("subjects")
	disk, err := c.folder("subjects")
	if err != nil {
		return err
	}
	n := max(1000, c.messages/10)
	length := 0
	rig, err := newRig(disk, 1, engine.StreamOptions{})
	if err != nil {
		return err
	}
	var subject []byte
	rig.p.subject = func(i int) []byte {
		subject = fmt.Appendf(subject[:0], "orders.%d.customer.%d", i%100, i)
		length += len(subject)
		return subject
	}
	if _, err := rig.publish(n, 10*smallWindow, smallBytes); err != nil {
		return err
	}
	if err := rig.engine.Close(); err != nil {
		return err
	}
	rig = nil
	before := heap()
	e, _, err := engine.Open(disk, options())
	if err != nil {
		return err
	}
	trim(e)
	after := heap()
	r.atMost("memory per tracked subject", float64(after-before)/float64(n)-float64(length)/float64(n), 120, "B",
		fmt.Sprintf("beyond the subject itself, %d subjects of %d B", n, length/n))
	return e.Close()
}
