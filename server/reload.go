package server

import (
	"fmt"
	"slices"
)

// Reload changes what may change while the server runs: debug, trace and its form,
// max_connections, max_control_line (not beyond what the loops keep of a cut
// line), max_payload, max_pending, max_subscriptions and their tokens, pings,
// users, accounts, their permissions and limits, write_deadline, lame duck times,
// the stalling of producers, client_advertise, TLS for connections to come,
// pinned keys for all.
// Everything else in o must be as it is. On an error nothing has changed.
func (s *Server) Reload(o Options) error {
	old := s.options()
	if err := o.complete(); err != nil {
		return err
	}
	if err := fixed(old, &o); err != nil {
		return err
	}
	s.underOperators(&o)
	book, err := s.linking.plan(&o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	running := s.running && !s.stopped
	s.mu.Unlock()
	if err := s.setTLS(&o, running); err != nil {
		return err
	}
	o.Port, o.ServerName = old.Port, old.ServerName
	s.accounts.follow(o.Directory, s.claimed)
	s.opts.Store(&o)
	s.clientLimits.Store(clientLimits(&o))
	s.linkAll(book)
	s.reloadClaims()
	if !running {
		return nil
	}
	info := s.baseInfo(s.Addr())
	s.info.Store(&info)
	for _, w := range s.workers {
		w.lp.Post(func() { w.reload(old, &o) })
	}
	s.recheckPinned(old.TLS, o.TLS)
	s.evict(o.MaxConn)
	s.evictFrom()
	return nil
}

// fixed returns an error for the first option that cannot change.
func fixed(old, o *Options) error {
	for _, f := range []struct {
		name     string
		old, new any
	}{
		{"Host", old.Host, o.Host},
		{"Port", old.Port, o.Port},
		{"Loops", old.Loops, o.Loops},
		{"Engine", old.Engine, o.Engine},
		{"NoHeaderSupport", old.NoHeaders, o.NoHeaders},
		{"ProxyProtocol", old.ProxyProtocol, o.ProxyProtocol},
		{"AllowNonTLS", old.TLS.allowsNonTLS(), o.TLS.allowsNonTLS()},
		{"TLSMap", old.TLS.maps(), o.TLS.maps()},
		{"TLSRateLimit", old.TLS.rateLimit(), o.TLS.rateLimit()},
		{"MaxClosedClients", old.MaxClosedClients, o.MaxClosedClients},
	} {
		if f.old != f.new {
			return fmt.Errorf("config reload not supported for %s: old=%v, new=%v", f.name, f.old, f.new)
		}
	}
	if o.ServerName != "" && o.ServerName != old.ServerName {
		return fmt.Errorf("config reload not supported for ServerName: old=%v, new=%v", old.ServerName, o.ServerName)
	}
	if err := fixedOperator(old.Operator, o.Operator); err != nil {
		return err
	}
	if !slices.Equal(old.PinCPUs, o.PinCPUs) {
		return fmt.Errorf("config reload not supported for PinCPUs: old=%v, new=%v", old.PinCPUs, o.PinCPUs)
	}
	return nil
}

// reload takes the new options over on one loop.
func (w *worker) reload(old, new *Options) {
	o, limits := w.srv.options(), w.srv.clientLimits.Load()
	w.debug, w.trace, w.noBodies = o.Debug, o.Trace, o.TraceHeaders
	w.each(func(c *session) {
		c.parser.MaxControlLine = o.MaxControlLine
		c.c.SetLimits(limits)
		c.auth.told = false
		c.reviewIdentity(old, new)
		c.reviewProxy(o.TrustedProxies)
		if c.stage.connected && !c.stage.closing && !c.auth.held && !c.auth.told {
			c.tellConnect() // it has been looked at again
		}
		if !c.stage.closing && c.preface.phase == speaking {
			c.startPing()
		}
	})
}

// evict closes the youngest connections over max.
func (s *Server) evict(max int) {
	over := s.connections.Load() - int64(max)
	if max < 0 {
		over = s.connections.Load()
	}
	if over <= 0 {
		return
	}
	open := s.OpenConnections(false)
	slices.SortFunc(open, func(a, b ConnInfo) int { return b.Opened.Compare(a.Opened) })
	for _, info := range open[:min(int(over), len(open))] {
		s.closeOn(info, func(c *session) {
			c.sendErr(errMaxConnections)
			c.errorf("%s", errMaxConnections)
			c.close(MaxConnectionsExceeded)
		})
	}
}
