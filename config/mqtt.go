package config

import (
	"errors"
	"math"
	"time"
)

// MQTT is the block of clients that speak MQTT.
type MQTT struct {
	Host                      string
	Port                      int // -1 is any free one, 0 is none
	TLS                       *TLS
	Authorization             *SimpleAuth
	NoAuthUser                string
	AckWait                   time.Duration
	JSAPITimeout              time.Duration
	MaxAckPending             uint16
	JSDomain                  string
	StreamReplicas            int
	ConsumerMemoryStorage     bool
	ConsumerInactiveThreshold time.Duration
	RejectQoS2Publish         bool
	DowngradeQoS2Subscribe    bool
}

// fixedMQTT makes the spec of an option that a reload does not change, liveMQTT
// of one that it does.
func fixedMQTT(s Spec) Spec {
	s.Field, s.Waiting = "MQTT", PartMQTT
	return s
}

func liveMQTT(s Spec) Spec {
	s.Reload, s.Waiting = Live, PartMQTT
	return s
}

var mqttBlock = block[MQTT]{entries: []entry[MQTT]{
	address("listen", func(m *MQTT) *string { return &m.Host }, func(m *MQTT) *int { return &m.Port },
		fixedMQTT(Spec{Doc: "Address for MQTT clients."})),
	text("host", func(m *MQTT) *string { return &m.Host },
		fixedMQTT(Spec{Aliases: []string{"net"}, Default: "0.0.0.0", Range: "a host name or address", Doc: "Host for MQTT clients."})),
	integer("port", func(m *MQTT) *int { return &m.Port },
		fixedMQTT(Spec{Unset: "no MQTT", Range: "-1 (any free port) to 65535", Doc: "Port for MQTT clients."})),
	tlsBlockAs("tls", &mqttTLSBlock, func(m *MQTT) **TLS { return &m.TLS },
		Spec{Reload: Live, Waiting: PartMQTT, Doc: "TLS with MQTT clients."}),
	simpleAuth(func(m *MQTT) **SimpleAuth { return &m.Authorization }, PartMQTT, "MQTT"),
	text("no_auth_user", func(m *MQTT) *string { return &m.NoAuthUser },
		fixedMQTT(Spec{Unset: "the top-level `no_auth_user`", Range: "a user or nkey that exists", Doc: "User of clients that give no credentials here."})),
	duration("ack_wait", "ack_wait", func(m *MQTT) *time.Duration { return &m.AckWait },
		liveMQTT(Spec{Aliases: []string{"ackwait"}, Default: `"30s"`, Log: "MQTT ack_wait = %v", Doc: "Time after which a message without an acknowledgement is sent again."})),
	duration("js_api_timeout", "js_api_timeout", func(m *MQTT) *time.Duration { return &m.JSAPITimeout },
		fixedMQTT(Spec{Aliases: []string{"api_timeout"}, Default: `"5s"`, Doc: "Time that JetStream has to answer."})),
	then(integer("max_ack_pending", func(m *MQTT) *uint16 { return &m.MaxAckPending },
		liveMQTT(Spec{Aliases: []string{"max_pending", "max_inflight"}, Default: "1024", Range: "0 (the default) to 65535", Log: "MQTT max_ack_pending = %v",
			Doc: "Messages of a subscription that wait for an acknowledgement."})),
		func(r *reader, k key, m *MQTT) {
			if k.Int < 0 || k.Int > math.MaxUint16 {
				m.MaxAckPending = 0
				r.errorf(k.Value, "invalid value %v, should in [0..%d] range", k.Int, math.MaxUint16)
			}
		}),
	text("js_domain", func(m *MQTT) *string { return &m.JSDomain },
		fixedMQTT(Spec{Unset: "none", Range: "a JetStream domain", Doc: "Domain of the streams of MQTT."})),
	integer("stream_replicas", func(m *MQTT) *int { return &m.StreamReplicas },
		liveMQTT(Spec{Unset: "up to 3, by the size of the cluster", Range: "1 to 5", Log: "MQTT stream_replicas = %v", Doc: "Replicas of the streams of MQTT."})),
	custom("consumer_replicas", kindInt, func(r *reader, k key, _ *MQTT) {
		r.misuse(k.Value, k.name, "consumer replicas setting ignored in this server version")
	}, nil, Spec{Unset: "those of the stream", Range: "anything, with a warning", Reload: Live, Ignored: "consumers have the replicas of their stream", Doc: "Replicas of consumers."}),
	boolean("consumer_memory_storage", func(m *MQTT) *bool { return &m.ConsumerMemoryStorage },
		liveMQTT(Spec{Log: "MQTT consumer_memory_storage = %v", Doc: "Keep consumers in memory."})),
	duration("consumer_inactive_threshold", "consumer_inactive_threshold", func(m *MQTT) *time.Duration { return &m.ConsumerInactiveThreshold },
		liveMQTT(Spec{Aliases: []string{"consumer_auto_cleanup"}, Unset: "never", Log: "MQTT consumer_inactive_threshold = %v", Doc: "Time after which consumers that nobody uses are removed."})),
	boolean("reject_qos2_publish", func(m *MQTT) *bool { return &m.RejectQoS2Publish },
		fixedMQTT(Spec{Doc: "Close clients that publish with quality of service 2."})),
	boolean("downgrade_qos2_subscribe", func(m *MQTT) *bool { return &m.DowngradeQoS2Subscribe },
		fixedMQTT(Spec{Doc: "Grant quality of service 1 to subscriptions that ask for 2."})),
}}

// checkMQTT finds what is wrong with MQTT as a whole.
func (o *Options) checkMQTT() error {
	m := o.MQTT
	if m == nil || m.Port == 0 {
		return nil
	}
	clustered := o.Cluster != nil && o.Cluster.Port != 0 || o.Gateway != nil && o.Gateway.Port != 0
	if o.ServerName == "" && clustered {
		return errors.New("mqtt requires server name to be explicitly set")
	}
	if err := o.checkNoAuthUser(m.NoAuthUser); err != nil {
		return err
	}
	if a := m.Authorization; a != nil && len(o.AllUsers()) > 0 {
		if a.User != "" {
			return errors.New("mqtt authentication username not compatible with presence of users/nkeys")
		}
		if a.Token != "" {
			return errors.New("mqtt authentication token not compatible with presence of users/nkeys")
		}
	}
	leafs := o.LeafNode != nil && (o.LeafNode.Port != 0 || len(o.LeafNode.Remotes) > 0)
	streams := o.JetStream != nil && o.JetStream.Enabled
	switch {
	case m.AckWait < 0:
		return errors.New("ack wait must be a positive value")
	case m.JSAPITimeout < 0:
		return errors.New("JS API timeout must be a positive value")
	case !streams && !clustered && !leafs:
		return errors.New("mqtt requires JetStream to be enabled if running in standalone mode")
	}
	return nil
}
