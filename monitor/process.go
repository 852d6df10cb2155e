package monitor

import (
	"math"
	"sync"
	"time"
)

// sampleInterval is the least time between two readings of the processor clock;
// requests in between see the last figure.
const sampleInterval = 200 * time.Millisecond

// processFigures describe this process.
type processFigures struct {
	resident int64   // bytes
	cpu      float64 // percent of one processor since the sample before
}

// processSampler turns the total processor time of this process into a
// percentage between samples. Its zero value measures from the first sample on.
type processSampler struct {
	mu   sync.Mutex // guards the fields below
	at   time.Time
	used time.Duration
	last processFigures
}

func (p *processSampler) sample(now time.Time) processFigures {
	p.mu.Lock()
	defer p.mu.Unlock()
	elapsed := now.Sub(p.at)
	if !p.at.IsZero() && elapsed < sampleInterval {
		return p.last
	}
	used, resident := processUsage()
	if !p.at.IsZero() {
		p.last.cpu = math.Round(1000*float64(used-p.used)/float64(elapsed)) / 10
	}
	p.last.resident = resident
	p.at, p.used = now, used
	return p.last
}
