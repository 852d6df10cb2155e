package server

import (
	"runtime"
	"sync"
)

// proofs are the workers for what is slow on purpose: hashes and signatures.
// Their goroutines live while there is work. A connection has at most one job,
// so the queue is bounded by the number of connections.
type proofs struct {
	mu      sync.Mutex // guards all
	jobs    []func()   // those before next are taken
	next    int
	running int
}

// proofWorkers leaves half of the CPUs to the loops.
func proofWorkers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// do runs job soon, after those that came before.
func (p *proofs) do(job func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running < proofWorkers() {
		p.running++
		go p.run(job)
		return
	}
	p.jobs = append(p.jobs, job)
}

func (p *proofs) run(job func()) {
	for job != nil {
		job()
		job = p.take()
	}
}

// take returns the next job, or nil and the worker is gone.
func (p *proofs) take() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == len(p.jobs) {
		p.jobs, p.next = nil, 0
		p.running--
		return nil
	}
	job := p.jobs[p.next]
	p.jobs[p.next] = nil
	p.next++
	return job
}
