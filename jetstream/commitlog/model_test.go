package commitlog

import (
	"fmt"
	"testing"
	"time"

	"peregrine/internal/seeds"
	"peregrine/vfs"
)

// TestModel runs random lives of a log on memory and on disk.
func TestModel(t *testing.T) {
	seed := seeds.Of(t, 1)
	for i := range uint64(20) {
		for _, interval := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprintf("seed=%d/interval=%v", seed+i, interval), func(t *testing.T) {
				options := smallOptions()
				options.SyncInterval = interval
				var fsys vfs.FS = vfs.NewMem()
				if i%5 == 0 {
					disk, err := vfs.OpenDisk(t.TempDir(), vfs.DiskOptions{})
					must(t, err)
					fsys = disk
				}
				w := newWorld(fsys, options, seed+i)
				must(t, w.script(6, 400))
				must(t, w.open())
				s := w.log.Stats()
				t.Logf("epoch %d, %d records, %d segments, %d free", w.report.Epoch, len(w.model), s.Segments, s.Free)
				must(t, w.finish(true))
			})
		}
	}
}
