package operator

import (
	"net"
	"net/netip"
	"time"

	"github.com/nats-io/jwt/v2"
)

// fromSource tells whether a client at addr may use claims that are bound to
// networks; no networks are all.
func fromSource(networks []string, addr netip.Addr) bool {
	if len(networks) == 0 {
		return true
	}
	ip := net.IP(addr.Unmap().AsSlice())
	if ip == nil {
		return false
	}
	for _, cidr := range networks {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			return false
		}
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// openFor tells whether now is in one of the daily windows of the zone, "" being
// the server's own, and until when: the end of the window that is longest open.
// No windows are open for ever, and the time is zero.
func openFor(windows []jwt.TimeRange, zone string, now time.Time) (until time.Time, open bool) {
	if len(windows) == 0 {
		return time.Time{}, true
	}
	loc := time.Local
	if zone != "" {
		var err error
		if loc, err = time.LoadLocation(zone); err != nil {
			return time.Time{}, false
		}
	}
	now = now.In(loc)
	for _, w := range windows {
		start, ok := onDay(now, w.Start)
		end, ok2 := onDay(now, w.End)
		if !ok || !ok2 {
			return time.Time{}, false
		}
		if e, in := within(start, end, now); in && (!open || e.After(until)) {
			until, open = e, true
		}
	}
	return until, open
}

// onDay returns the time of day clock, "15:04:05", on the day of now.
func onDay(now time.Time, clock string) (time.Time, bool) {
	t, err := time.Parse("15:04:05", clock)
	if err != nil {
		return time.Time{}, false
	}
	y, m, d := now.Date()
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), true
}

// within tells whether now is between start and end, both excluded, and when
// that ends. An end before the start is one of the next day.
func within(start, end, now time.Time) (time.Time, bool) {
	if !start.After(end) {
		return end, start.Before(now) && now.Before(end)
	}
	if now.Before(end) { // since yesterday
		return end, true
	}
	return end.AddDate(0, 0, 1), start.Before(now)
}
