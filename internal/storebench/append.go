package storebench

import (
	"fmt"
	"slices"
	"time"

	"peregrine/jetstream/commitlog"
	"peregrine/jetstream/engine"
	"peregrine/vfs"
)

const (
	smallBytes  = 128
	smallWindow = 1000
	largeBytes  = 1 << 20
	largeWindow = 16
)

// single is the rate of one stream in this run, 0 if it was not measured.
var singleRate float64

// measureAppend is 128 B into one stream with a window of 1,000.
func measureAppend(c *config, r *results) error {
	rate, all, n, err := c.appendRate("append", 1)
	if err != nil {
		return err
	}
	singleRate = rate
	r.atLeast("append 128 B, 1 stream, window 1,000, synced", rate, 700_000, "messages/s", "median of rounds")
	r.atMost("  CPU per message", float64(all.cpu.Nanoseconds())/float64(n)/1e3, 0.7, "µs", "of the process")
	r.atMost("  heap allocations per message", float64(all.mallocs)/float64(n), 0.05, "", "amortised; "+all.per(n))
	return nil
}

// measureStreams is the same over many streams in turn.
func measureStreams(c *config, r *results) error {
	if singleRate == 0 {
		rate, _, _, err := c.appendRate("append", 1)
		if err != nil {
			return err
		}
		singleRate = rate
	}
	rate, all, n, err := c.appendRate("streams", c.streams)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("append 128 B, %s streams in turn", number(float64(c.streams)))
	r.add(name, rate, "messages/s", all.per(n))
	r.atLeast("  of the rate of one stream", rate/singleRate, 0.7, "×", "")
	return nil
}

// appendRate appends for a while, in rounds, and returns the median rate and what
// all of it cost.
func (c *config) appendRate(folder string, streams int) (rate float64, all cost, n int, err error) {
	defer c.drop(folder)
	disk, err := c.folder(folder)
	if err != nil {
		return 0, all, 0, err
	}
	rig, err := newRig(disk, streams, engine.StreamOptions{})
	if err != nil {
		return 0, all, 0, err
	}
	defer rig.engine.Close()
	round := c.sizes.round
	if _, err := rig.publish(round, smallWindow, smallBytes); err != nil { // warm up: segments are made
		return 0, all, 0, err
	}
	var rates []float64
	for start := time.Now(); n == 0 || time.Since(start).Seconds() < c.seconds; n += round {
		one, err := rig.publish(round, smallWindow, smallBytes)
		if err != nil {
			return 0, all, 0, err
		}
		rates = append(rates, one.rate(round))
		all.cpu += one.cpu
		all.mallocs += one.mallocs
		all.heap += one.heap
	}
	return median(rates), all, n, nil
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// measureLarge is 1 MiB messages against bare sequential writes, in turns: the
// engine with log and blocks, and the log alone.
func measureLarge(c *config, r *results) error {
	defer c.drop("large")
	disk, err := c.folder("large")
	if err != nil {
		return err
	}
	rig, err := newRig(disk, 1, engine.StreamOptions{})
	if err != nil {
		return err
	}
	defer rig.engine.Close()
	round := c.sizes.large
	bare, err := newBare(disk, "bare", int64(round)*largeBytes)
	if err != nil {
		return err
	}
	defer bare.close()
	if _, err := rig.publish(2*round, largeWindow, largeBytes); err != nil { // until segments are used again
		return err
	}
	var disks, grown, engines []float64
	for range c.sizes.rounds {
		d, err := bare.writeAll()
		if err != nil {
			return err
		}
		disks = append(disks, float64(round*largeBytes)/d.Seconds())
		if d, err = bare.writeNew(disk); err != nil {
			return err
		}
		grown = append(grown, float64(round*largeBytes)/d.Seconds())
		one, err := rig.publish(round, largeWindow, largeBytes)
		if err != nil {
			return err
		}
		engines = append(engines, float64(round*largeBytes)/one.wall.Seconds())
	}
	r.add("disk: sequential direct writes of 1 MiB", median(disks)/1e6, "MB/s", "on pre-written space, one fdatasync at the end")
	r.add("  the same to new files", median(grown)/1e6, "MB/s", "as a stream that grows has to")
	r.add("append 1 MiB, 1 stream, window 16, synced", median(engines)/1e6, "MB/s", "put directly, with a reference in the log")
	r.atLeast("  of the disk's own rate, on pre-written space", median(engines)/median(disks), 0.7, "×", "")
	r.atLeast("  of the disk's own rate, to new files", median(engines)/median(grown), 0.7, "×", "")
	return c.measureLargeLog(r)
}

// measureLargeLog is the same for the commit log alone.
func (c *config) measureLargeLog(r *results) error {
	defer c.drop("largelog")
	disk, err := c.folder("largelog")
	if err != nil {
		return err
	}
	round := c.sizes.largeLogs
	bare, err := newBare(disk, "bare", int64(round)*largeBytes)
	if err != nil {
		return err
	}
	defer bare.close()
	w, err := newLogWriter(disk, commitlog.Options{PressureBytes: 64 << 20})
	if err != nil {
		return err
	}
	defer w.log.Close()
	payload := noise(largeBytes)
	run := func() (time.Duration, error) {
		start := time.Now()
		for range round {
			if err := w.append(payload, largeWindow); err != nil {
				return 0, err
			}
		}
		err := w.wait(w.last)
		w.owner.Need(w.last)
		return time.Since(start), err
	}
	var disks, logs []float64
	for i := range c.sizes.rounds + 2 {
		d, err := bare.writeAll()
		if err != nil {
			return err
		}
		l, err := run()
		if err != nil {
			return err
		}
		if i > 1 { // segments are used again
			disks = append(disks, float64(round*largeBytes)/d.Seconds())
			logs = append(logs, float64(round*largeBytes)/l.Seconds())
		}
	}
	r.atLeast("  the log alone, of the disk's own rate", median(logs)/median(disks), 0.7, "×", fmt.Sprintf("%s MB/s of %s", number(median(logs)/1e6), number(median(disks)/1e6)))
	return nil
}

// measureSingle is one synchronous append after the other against bare writes with
// fdatasync, in turns: on the shard of an engine, and by the log alone.
func measureSingle(c *config, r *results) error {
	defer c.drop("single")
	disk, err := c.folder("single")
	if err != nil {
		return err
	}
	rig, err := newRig(disk, 1, engine.StreamOptions{})
	if err != nil {
		return err
	}
	defer rig.engine.Close()
	w, err := newLogWriter(disk, commitlog.Options{})
	if err != nil {
		return err
	}
	defer w.log.Close()
	bare, err := newBare(disk, "bare", 16<<20)
	if err != nil {
		return err
	}
	defer bare.close()
	if _, err := rig.publish(100, 1, smallBytes); err != nil {
		return err
	}
	payload := noise(smallBytes)
	block := vfs.Buffer(vfs.BlockSize)
	var disks, engines, logs []float64
	for i := range c.sizes.singles {
		start := time.Now()
		if err := bare.f.WriteSync(block, int64(i)*vfs.BlockSize%bare.size); err != nil {
			return err
		}
		disks = append(disks, micros(time.Since(start)))
		start = time.Now()
		if err := w.append(payload, 1); err != nil {
			return err
		}
		if err := w.wait(w.last); err != nil {
			return err
		}
		logs = append(logs, micros(time.Since(start)))
		d, err := rig.one()
		if err != nil {
			return err
		}
		engines = append(engines, micros(d))
	}
	r.add("disk: aligned write of 4 KiB with fdatasync", median(disks), "µs", "on pre-written space")
	r.add("single synchronous append of 128 B", median(engines), "µs", "on the shard, until durable")
	r.atMost("  of the disk's own time", median(engines)/median(disks), 1.3, "×", "")
	r.atMost("  the log alone", median(logs)/median(disks), 1.3, "×", "two goroutines")
	return nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
