package storebench

import (
	"fmt"
	"path/filepath"
	"time"

	"peregrine/jetstream/engine"
	"peregrine/jetstream/store"
)

// measureTail reads the newest messages, which are in memory.
func measureTail(c *config, r *results) error {
	defer c.drop("tail")
	disk, err := c.folder("tail")
	if err != nil {
		return err
	}
	rig, err := newRig(disk, 1, engine.StreamOptions{})
	if err != nil {
		return err
	}
	defer rig.engine.Close()
	const n = 20_000
	rounds := c.sizes.tail
	if _, err := rig.publish(n, smallWindow, smallBytes); err != nil {
		return err
	}
	var took cost
	rig.on(func() {
		st := rig.p.streams[0].Messages
		before := measureCost()
		var m store.Message
		for range rounds {
			for seq := store.Seq(1); seq <= n && err == nil; seq++ {
				err = st.LoadNext(store.Filter{}, seq, &m)
			}
		}
		took = measureCost().since(before)
	})
	if err != nil {
		return err
	}
	r.atLeast("tail read of 128 B, 1 stream", took.rate(n*rounds), 3e6, "messages/s", took.per(n*rounds))
	return nil
}

// measureCold reads a stream from the start that is on disk alone, as a worker
// does that serves it: views from the shard, the reading elsewhere.
func measureCold(c *config, r *results) error {
	for _, size := range []int{1024, 128} {
		if err := c.coldRead(r, size); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) coldRead(r *results, size int) error {
	defer c.drop("cold")
	disk, err := c.folder("cold")
	if err != nil {
		return err
	}
	total := c.sizes.cold
	n := int(total) / (size + 53)
	rig, err := newRig(disk, 1, engine.StreamOptions{})
	if err != nil {
		return err
	}
	if _, err = rig.publish(n, 10*smallWindow, size); err != nil {
		return err
	}
	if err := rig.engine.Close(); err != nil {
		return err
	}
	b, err := newBare(disk, "bare", max(total, 1<<20))
	if err != nil {
		return err
	}
	defer b.close()
	e, _, err := engine.Open(disk, options())
	if err != nil {
		return err
	}
	defer e.Close()
	e.Start(nil)
	var rates, disks []float64
	for range 3 {
		d, err := b.readAll()
		if err != nil {
			return err
		}
		disks = append(disks, float64(b.size)/d.Seconds())
		if err := forget(filepath.Join(c.dir, "cold")); err != nil {
			return err
		}
		bytes, d, err := readCold(e.Shards()[0], n)
		if err != nil {
			return err
		}
		rates = append(rates, float64(bytes)/d.Seconds())
	}
	name := fmt.Sprintf("cold sequential read of %s B messages", number(float64(size)))
	r.add(name, median(rates)/1e6, "MB/s", fmt.Sprintf("%s messages/s; the disk's own: %s MB/s in direct reads of 1 MiB",
		number(median(rates)/float64(size+53)), number(median(disks)/1e6)))
	r.atLeast("  of the disk's own rate", median(rates)/median(disks), 0.7, "×", "")
	return nil
}

// readCold reads all n messages and returns how many bytes of records they are.
func readCold(shard *engine.Shard, n int) (bytes int, took time.Duration, err error) {
	const batch = 4096
	start := time.Now()
	spare := make(chan []store.View, 9) // one is read, the others are asked for
	for range cap(spare) {
		spare <- make([]store.View, 0, batch)
	}
	type found struct {
		views []store.View
		err   error
	}
	views := make(chan found, cap(spare))
	var next store.Seq = 1
	ask := func(s *engine.Shard) {
		s.Streams(func(st *engine.Stream) {
			var f found
			f.views, next, f.err = st.Messages.Views(store.Filter{}, next, (<-spare)[:0])
			views <- f
		})
	}
	for range cap(spare) - 1 {
		shard.Do(ask)
	}
	var reader store.Reader
	var m store.Message
	for got := 0; got < n; {
		f := <-views
		if f.err == nil && len(f.views) == 0 {
			f.err = fmt.Errorf("storebench: %d messages of %d are there", got, n)
		}
		if f.err != nil {
			return 0, 0, f.err
		}
		list := f.views
		if got += len(list); got < n {
			shard.Do(ask)
		}
		for i := range list {
			if err := reader.Load(&list[i], &m); err != nil {
				return 0, 0, err
			}
			bytes += 40 + len(m.Subject) + len(m.Payload)
		}
		spare <- list
	}
	return bytes, time.Since(start), nil
}
