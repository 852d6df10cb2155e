package account

// Definition is what a configuration or a JWT says of an account. It is
// immutable: a change is a new one.
type Definition struct {
	Name string
	Nkey string // public account key, if it has one

	Limits             Limits
	DefaultPermissions *Permissions
	JetStream          *JetStreamLimits // nil: no JetStream
	Trace              MsgTrace

	// What the account offers to others, takes from them and maps.
	Exports  []Export
	Imports  []Import
	Mappings []Mapping
}

// Limits bound an account; NoLimit does not.
type Limits struct {
	Connections   int64 // clients and leaf nodes
	LeafNodes     int64
	Subscriptions int64 // of each connection
	Payload       int64 // bytes of each message
}

// Unlimited are the limits of an account that has none.
var Unlimited = Limits{NoLimit, NoLimit, NoLimit, NoLimit}

// JetStreamLimits bound JetStream in an account; NoLimit does not.
type JetStreamLimits struct {
	MaxMemory, MaxStore                       int64 // bytes
	MaxStreams, MaxConsumers, MaxAckPending   int64
	MemoryMaxStreamBytes, StoreMaxStreamBytes int64
	MaxBytesRequired                          bool
	ClusterTraffic                            string // "system" or "owner"
}

// MsgTrace says which messages with a trace header of the W3C form are traced.
type MsgTrace struct {
	Dest     string // subject; empty is none
	Sampling int    // percent
}

// NewDefinition returns an account without limits.
func NewDefinition(name string) *Definition { return &Definition{Name: name, Limits: Unlimited} }
