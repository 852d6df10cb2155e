package config

// Part is a part of the server that options can wait for.
type Part string

// The parts, as messages name them.
const (
	PartCallout     Part = "auth callouts"
	PartTracing     Part = "message tracing"
	PartCluster     Part = "clustering"
	PartGateway     Part = "gateways"
	PartJetStream   Part = "JetStream"
	PartLeafNode    Part = "leaf nodes"
	PartMQTT        Part = "MQTT"
	PartOperator    Part = "operator mode"
	PartProxies     Part = "trusted proxies"
	PartTLS         Part = "TLS with account servers"
	PartWebSocket   Part = "WebSocket"
	PartWritePolicy Part = "write timeout policies"
)
