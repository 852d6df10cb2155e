package server

import (
	"time"

	"peregrine/codec"
	"peregrine/loop"
)

// pinging is what a session knows about whether its peer is alive.
type pinging struct {
	timer       loop.Timer
	sentAt      int64 // loop time of the unanswered PING, 0 if there is none
	rttAt       int64 // when the RTT was measured
	outstanding int
}

const (
	firstPingMax = 2 * time.Second
	rttValid     = time.Hour
)

func sinceOpen(c *session) time.Duration { return time.Since(c.opened) }

func (c *session) startPing() { c.armPing(c.w.srv.options().PingInterval) }

// startFirstPing brings the first PING forward once CONNECT is here, so that
// the round trip is known early; a random part spreads the load.
func (c *session) startFirstPing() {
	d := min(c.w.srv.options().PingInterval, firstPingMax)
	c.armPing(d + time.Duration(c.w.random()%uint64(d/5+1)))
}

func (c *session) armPing(d time.Duration) { c.w.lp.AfterFunc(&c.pinging.timer, d, c.pingTick) }

// pingTick sends a PING unless the peer has just shown that it lives, and
// gives up on one that has left too many unanswered.
func (c *session) pingTick() {
	if c.stage.closing {
		return
	}
	if c.auth.held {
		c.startPing() // what it answers is not read
		return
	}
	c.debugf("Client Ping Timer")
	o, now := c.w.srv.options(), c.w.lp.Now()
	quiet := time.Duration(now - c.lastSeen.Load())
	known := c.rtt.Load() > 0 && time.Duration(now-c.pinging.rttAt) < rttValid
	switch {
	case known && c.lastSeen.Load() > 0 && quiet < o.PingInterval:
		c.debugf("Delaying PING due to remote client data or ping %v ago", quiet.Round(time.Second))
	case c.pinging.outstanding+1 > o.MaxPingsOut:
		c.debugf("Stale Client Connection - Closing")
		c.sendErr(errStale)
		c.close(StaleConnection)
		return
	default:
		c.sendPing(now)
	}
	c.startPing()
}

func (c *session) sendPing(now int64) {
	c.pinging.outstanding++
	c.pinging.sentAt = now
	if c.w.trace {
		c.tracef("->> [PING]")
	}
	c.send(codec.AppendPing(nil))
}

var pongLine = []byte("PONG\r\n")

// onPing answers, and after the first PING behind CONNECT tells a client that
// takes INFO at any time where it is.
func (c *session) onPing() {
	if c.w.trace {
		c.tracef("<<- [PING]")
		c.tracef("->> [PONG]")
	}
	c.send(pongLine)
	if c.stage.ponged || !c.stage.connected {
		return
	}
	c.stage.ponged = true
	if c.connect.Protocol < 1 {
		return
	}
	info := c.w.srv.infoFor(c)
	info.ConnectInfo = true
	info.RemoteAccount = c.acc.Name
	info.IsSystem = c.w.srv.system(c.acc)
	info.MaxPayload = c.parser.MaxPayload
	c.sendInfo(info)
}

func (c *session) onPong() {
	if c.w.trace {
		c.tracef("<<- [PONG]")
	}
	c.pinging.outstanding = 0
	if at := c.pinging.sentAt; at != 0 {
		c.pinging.sentAt = 0
		c.setRTT(c.w.lp.Now() - at)
	}
}

func (c *session) setRTT(ns int64) {
	c.rtt.Store(max(ns, 1))
	c.pinging.rttAt = c.w.lp.Now()
}
