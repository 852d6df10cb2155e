package server

import (
	"io"
	"strings"
	"testing"
)

func TestReloadChangesLimitsOfOpenSessions(t *testing.T) {
	s, _ := startServer(t, nil)
	c, keep := connect(t, s), connect(t, s)
	o := s.Options()
	o.MaxPayload, o.MaxSubs, o.Port = 10, 1, s.Options().Port
	if err := s.Reload(o); err != nil {
		t.Fatal(err)
	}
	c.drainPing() // the loops have seen it: what was posted comes before
	c.send("SUB a 1\r\nSUB b 2\r\n")
	c.expect("-ERR 'maximum subscriptions exceeded'")
	c.send("PUB a 11\r\n")
	c.expect("-ERR 'Maximum Payload Violation'")
	keep.sync()
	late := dialRaw(t, s)
	if line := late.line(); !strings.Contains(line, `"max_payload":10,`) {
		t.Errorf("INFO says %s", line)
	}
}

func TestReloadEvictsTheYoungest(t *testing.T) {
	s, _ := startServer(t, nil)
	old, young := connect(t, s), connect(t, s)
	o := s.Options()
	o.MaxConn = 1
	if err := s.Reload(o); err != nil {
		t.Fatal(err)
	}
	young.expect("-ERR 'maximum connections exceeded'")
	if _, err := young.r.ReadByte(); err != io.EOF {
		t.Errorf("then %v", err)
	}
	old.sync()
}

func TestReloadRefusesWhatIsFixed(t *testing.T) {
	s, _ := startServer(t, nil)
	check := func(want string, change func(o *Options)) {
		t.Helper()
		o := s.Options()
		o.MaxPayload = 5
		change(&o)
		if err := s.Reload(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if got := s.Options().MaxPayload; got != DefaultMaxPayload {
			t.Fatalf("%s: half of it was applied, max_payload = %d", want, got)
		}
	}
	check("config reload not supported for Host: old=127.0.0.1, new=::1", func(o *Options) { o.Host = "::1" })
	check("config reload not supported for Loops: old=2, new=3", func(o *Options) { o.Loops = 3 })
	check("config reload not supported for ServerName", func(o *Options) { o.ServerName = "other" })
	check("cannot be higher than max_pending", func(o *Options) { o.MaxPending = 1 })
}
