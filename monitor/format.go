package monitor

import (
	"strconv"
	"time"
)

// uptime writes d as the reference does, `1y2d3h4m5s`: whole seconds, leading
// units that are zero left out, a year of 365 days.
func uptime(d time.Duration) string {
	const minute, hour, day, year = 60, 3600, 86400, 365 * 86400
	units := [...]struct {
		seconds int64
		suffix  byte
	}{{year, 'y'}, {day, 'd'}, {hour, 'h'}, {minute, 'm'}}
	left := int64(max(d, 0) / time.Second)
	var out []byte
	for _, u := range units {
		if n := left / u.seconds; n > 0 || len(out) > 0 {
			out = append(strconv.AppendInt(out, n, 10), u.suffix)
			left -= n * u.seconds
		}
	}
	return string(append(strconv.AppendInt(out, left, 10), 's'))
}

// rttText shows a round trip as the reference does: below a millisecond in whole
// microseconds, above it in full.
func rttText(d time.Duration) string {
	if d < time.Millisecond {
		d = d.Truncate(time.Microsecond)
	}
	return d.String()
}
