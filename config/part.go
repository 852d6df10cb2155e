package config

// Part is a part of the server that options can wait for.
type Part string

// The parts, as messages name them.
const (
	PartCluster   Part = "clustering"
	PartGateway   Part = "gateways"
	PartJetStream Part = "JetStream"
	PartLeafNode  Part = "leaf nodes"
	PartMQTT      Part = "MQTT"
	PartWebSocket Part = "WebSocket"
)
