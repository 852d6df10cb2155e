package server

import (
	"math/rand/v2"
	"time"
)

// LameDuck stops accepting, tells clients to go elsewhere, closes the ones
// that stay one by one after the grace period, and shuts down. It returns when
// the server has ended. Repeated calls wait for the first.
func (s *Server) LameDuck() {
	s.mu.Lock()
	if s.stopped || s.lameDuck || !s.running {
		s.mu.Unlock()
		<-s.done
		return
	}
	s.lameDuck = true
	s.mu.Unlock()
	s.log.Noticef("Entering lame duck mode, stop accepting new clients")
	s.listener.Close()
	s.log.Debugf("Client accept loop exiting..")
	if s.connections.Load() == 0 {
		s.Shutdown()
		return
	}
	for _, w := range s.workers {
		w.lp.Post(func() { w.each((*session).sendLameDuck) })
	}
	if s.pause(s.options().LameDuckGracePeriod) {
		s.log.Noticef("Closing existing clients")
		s.closeGradually(s.options().LameDuckDuration - s.options().LameDuckGracePeriod)
	}
	s.Shutdown()
}

// InLameDuck reports whether LameDuck was called.
func (s *Server) InLameDuck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lameDuck
}

func (c *session) sendLameDuck() {
	if c.connect.Protocol >= 1 && c.stage.ponged && !c.stage.closing {
		info := c.w.srv.infoFor(c)
		info.LameDuck = true
		c.sendInfo(info)
	}
}

// pause waits for d, or reports false if Shutdown comes first.
func (s *Server) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.quit:
		return false
	}
}

// closeStepMax is the longest wait between two clients.
const closeStepMax = time.Second

// closeGradually spreads the closing of all clients over d, so that the
// servers they go to are not met by all of them at once.
func (s *Server) closeGradually(d time.Duration) {
	for {
		n := s.connections.Load()
		if n <= 0 {
			return
		}
		step := d / time.Duration(n)
		batch := int64(1)
		if step < time.Millisecond {
			// A timer cannot be finer: close several a step.
			step = time.Millisecond
			batch = max(1, n*int64(step)/int64(max(d, 1)))
		}
		step = min(step, closeStepMax)
		for range batch {
			s.closeOne()
		}
		wait := step/2 + time.Duration(rand.Int64N(int64(step/2)+1))
		d -= wait
		if !s.pause(wait) {
			return
		}
	}
}

// closeOne closes a client of the fullest loop and waits until it has begun.
func (s *Server) closeOne() {
	w := s.workers[0]
	for _, o := range s.workers {
		if o.count.Load() > w.count.Load() {
			w = o
		}
	}
	done := make(chan struct{})
	posted := w.lp.Post(func() {
		defer close(done)
		for c := w.sessions; c != nil; c = c.next {
			if !c.stage.closing {
				c.close(ServerShutdown)
				return
			}
		}
	})
	if posted {
		select {
		case <-done:
		case <-s.quit:
		}
	}
}
