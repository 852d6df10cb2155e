package config

import (
	"fmt"
	"math"
	"time"
)

// limitOptions bound what clients may do.
var limitOptions = []entry[Options]{
	checked(size("max_control_line", func(o *Options) *int32 { return &o.MaxControlLine },
		Spec{Default: "4096", Range: "up to 2147483647 bytes", Reload: Live, Log: "max_control_line = %d", Varz: "max_control_line",
			Use: "MaxControlLine", Doc: "Longest protocol line, without the payload."}), tooBig),
	checked(size("max_payload", func(o *Options) *int32 { return &o.MaxPayload },
		Spec{Default: "1MB", Range: "up to 2147483647 bytes and `max_pending`", Reload: Live, Log: "max_payload = %d", Varz: "max_payload",
			Use: "MaxPayload", Doc: "Largest payload of a message, headers included."}), tooBig),
	size("max_pending", func(o *Options) *int64 { return &o.MaxPending },
		Spec{Default: "64MB", Range: "`max_payload` or more bytes", Field: "MaxPending", Varz: "max_pending",
			Use: "MaxPending", Doc: "How much may wait for a client before it counts as a slow consumer."}),
	then(integer("max_connections", func(o *Options) *int { return &o.MaxConn },
		Spec{Aliases: []string{"max_conn"}, Default: "65536", Range: "0 and less refuse all", Reload: Live, Log: "max_connections = %v", Varz: "max_connections",
			Use: "MaxConn", Doc: "Clients at a time. Lowered by a reload, clients in excess are closed."}),
		func(_ *reader, _ key, o *Options) {
			// None is not the same as not set.
			if o.MaxConn == 0 {
				o.MaxConn = -1
			}
		}),
	integer("max_subscriptions", func(o *Options) *int { return &o.MaxSubs },
		Spec{Aliases: []string{"max_subs"}, Unset: "no limit", Range: "0 (no limit) or more", Field: "MaxSubs", Varz: "max_subscriptions",
			Use: "MaxSubs", Doc: "Subscriptions of a connection."}),
	checked(integer("max_sub_tokens", func(o *Options) *uint8 { return &o.MaxSubTokens },
		Spec{Aliases: []string{"max_subscription_tokens"}, Unset: "no limit", Range: "1 to 255", Field: "MaxSubTokens",
			Use: "MaxSubTokens", Doc: "Tokens of a subscription's subject."}), tokenCount),
	integer("max_closed_clients", func(o *Options) *int { return &o.MaxClosedClients },
		Spec{Default: "10000", Range: "0 or more", Field: "MaxClosedClients",
			Use: "MaxClosedClients", Doc: "Closed connections that monitoring remembers."}),
	duration("ping_interval", "", func(o *Options) *time.Duration { return &o.PingInterval },
		Spec{Default: `"2m"`, Reload: Live, Log: "ping_interval = %s", Varz: "ping_interval",
			Use: "PingInterval", Doc: "Time between pings of a client."}),
	integer("ping_max", func(o *Options) *int { return &o.MaxPingsOut },
		Spec{Default: "2", Range: "1 or more", Reload: Live, Log: "ping_max = %d", Varz: "ping_max",
			Use: "MaxPingsOut", Doc: "Pings without an answer that make a connection stale."}),
	duration("write_deadline", "", func(o *Options) *time.Duration { return &o.WriteDeadline },
		Spec{Default: `"10s"`, Reload: Live, Log: "write_deadline = %s", Varz: "write_deadline",
			Use: "WriteDeadline", Doc: "Time that a write to a client may take."}),
	writeTimeout(func(o *Options) *WriteTimeout { return &o.WriteTimeout }, Spec{Field: "WriteTimeout", Use: "WriteTimeout"}),
	boolean("no_fast_producer_stall", func(o *Options) *bool { return &o.NoFastProducerStall },
		Spec{Reload: Live, Use: "NoFastProducerStall", Doc: "Never slow a publisher down for a slow subscriber."}),
	custom("lame_duck_duration", kindDuration, func(r *reader, k key, o *Options) {
		if d, ok := r.lameDuck(k); ok && d < 30*time.Second {
			r.errorf(k.Value, "invalid lame_duck_duration of %v, minimum is 30 seconds", d)
		} else if ok {
			o.LameDuckDuration = d
		}
	}, func(o *Options) any { return o.LameDuckDuration },
		Spec{Default: `"2m"`, Range: "30s or more, above `lame_duck_grace_period`", Field: "LameDuckDuration",
			Use: "LameDuckDuration", Doc: "Time over which a lame duck closes its clients."}),
	custom("lame_duck_grace_period", kindDuration, func(r *reader, k key, o *Options) {
		if d, ok := r.lameDuck(k); ok && d < 0 {
			r.errorf(k.Value, "invalid lame_duck_grace_period, needs to be positive")
		} else if ok {
			o.LameDuckGracePeriod = d
		}
	}, func(o *Options) any { return o.LameDuckGracePeriod },
		Spec{Default: `"10s"`, Range: "0s or more", Field: "LameDuckGracePeriod",
			Use: "LameDuckGracePeriod", Doc: "Time that a lame duck waits before it closes the first client."}),
}

// lameDuck reads a duration that must be one.
func (r *reader) lameDuck(k key) (time.Duration, bool) {
	text, ok := r.str(k.Value)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		r.errorf(k.Value, "error parsing %s: %v", k.name, err)
		return 0, false
	}
	return d, true
}

// checked makes e, an integer option, refuse what is wrong with its value.
func checked[T any](e entry[T], wrong func(int64) string) entry[T] {
	read := e.read
	e.read = func(r *reader, k key, into *T) {
		if n, ok := r.integer(k.Value); ok {
			if why := wrong(n); why != "" {
				r.errorf(k.Value, "%s value %s", k.name, why)
				return
			}
			read(r, k, into)
		}
	}
	return e
}

func tooBig(n int64) string {
	if n > math.MaxInt32 {
		return "is too big"
	}
	return ""
}

func tokenCount(n int64) string {
	switch {
	case n > math.MaxUint8:
		return "is too big"
	case n <= 0:
		return "can not be negative"
	}
	return ""
}

// checkLimits finds limits that do not go together.
func (o *Options) checkLimits() error {
	if o.LameDuckDuration > 0 && o.LameDuckGracePeriod >= o.LameDuckDuration {
		return fmt.Errorf("lame duck grace period (%v) should be strictly lower than lame duck duration (%v)",
			o.LameDuckGracePeriod, o.LameDuckDuration)
	}
	if int64(o.MaxPayload) > o.MaxPending {
		return fmt.Errorf("max_payload (%v) cannot be higher than max_pending (%v)", o.MaxPayload, o.MaxPending)
	}
	return nil
}
