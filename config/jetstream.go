package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// JetStream is the block of streams.
type JetStream struct {
	Enabled         bool
	Strict          bool // refuse requests with unknown fields
	MaxMemory       int64
	MaxStore        int64 // -1: as much as there is
	Domain          string
	SyncInterval    time.Duration
	SyncAlways      bool
	EncryptionKey   string
	PrevKey         string
	Cipher          string // "chacha" or "aes"
	ExtensionHint   string
	UniqueTag       string
	Limits          JetStreamLimits
	TPM             TPM
	MaxCatchup      int64
	MaxBufferedSize int64
	MaxBufferedMsgs int
	RequestQueue    int64
	InfoQueue       int64
	MetaCompact     uint64
	MetaCompactSize uint64
	MetaCompactSync bool
	MaxConcurrentIO int
}

// JetStreamLimits bound what clients may ask for.
type JetStreamLimits struct {
	MaxAckPending       int
	MaxHAAssets         int
	MaxRequestBatch     int
	DefaultMaxConsumers int
	DuplicateWindow     time.Duration
	Batch               BatchLimits
}

// BatchLimits bound batches of messages.
type BatchLimits struct {
	MaxInflightPerStream int
	MaxInflightTotal     int
	MaxMsgs              int
	Timeout              time.Duration
}

// TPM is where the machine keeps the encryption key.
type TPM struct {
	KeysFile           string
	EncryptionPassword string
	SRKPassword        string
	PCR                int
	Cipher             string
}

// jetStreamEntry is the block in all its forms.
var jetStreamEntry = func() entry[Options] {
	e := nested("jetstream", "Expected map, bool or string to define JetStream, got %s", func(o *Options) **JetStream { return &o.JetStream }, &jetStreamBlock,
		Spec{Unset: "off", Range: "true, false, `enabled`, `disabled` or see the keys below", Reload: Partly, ReloadNote: "on and off; see the keys",
			Flags: []string{"js", "jetstream"}, Varz: "jetstream", Waiting: PartJetStream, Doc: "Streams. A block turns them on."})
	read := e.read
	e.read = func(r *reader, k key, o *Options) {
		switch k.Kind {
		case grammar.Bool:
			o.JetStream = &JetStream{Enabled: k.Bool, Strict: true}
		case grammar.String:
			switch strings.ToLower(k.Str) {
			case "enabled", "enable":
				o.JetStream = &JetStream{Enabled: true, Strict: true}
			case "disabled", "disable":
				o.JetStream = &JetStream{Strict: true}
			default:
				r.errorf(k.Value, "Expected 'enabled' or 'disabled' for string value, got '%s'", k.Str)
			}
		default:
			o.JetStream = &JetStream{Enabled: true, Strict: true}
			r.blaming(k.Value, func() { read(r, k, o) })
		}
	}
	return e
}()

// fixedJS makes the spec of an option that a reload does not change.
func fixedJS(field string, s Spec) Spec {
	s.Field, s.Waiting = field, PartJetStream
	return s
}

var jetStreamBlock = block[JetStream]{entries: []entry[JetStream]{
	boolean("enabled", func(j *JetStream) *bool { return &j.Enabled },
		Spec{Aliases: []string{"enable"}, Unset: "true", Reload: Live, Log: "JetStream", Waiting: PartJetStream, Doc: "Whether the block counts."}),
	custom("store_dir", kindPath, func(r *reader, k key, _ *JetStream) {
		if dir, ok := r.str(k.Value); !secondStoreDir(r, k.Value) && ok {
			r.opts.StoreDir = dir
		}
	}, nil,
		Spec{Aliases: []string{"store", "storedir"}, Unset: "the top-level `store_dir`", Range: "a path; a folder `jetstream` in it is used", Reload: Partly, ReloadNote: "not while JetStream is on",
			Waiting: PartJetStream, Doc: "Folder of streams."}),
	jsSize("max_memory_store", []string{"max_mem_store", "max_mem"}, "max_mem_store", func(j *JetStream) *int64 { return &j.MaxMemory },
		Spec{Default: "-1", ZeroCounts: true, Reload: Partly, ReloadNote: "up from a size, no other way", Field: "JetStreamMaxMemory", Doc: "Memory for streams; -1 is 75 % of the machine's."}),
	jsSize("max_file_store", []string{"max_file"}, "max_file_store", func(j *JetStream) *int64 { return &j.MaxStore },
		Spec{Default: "-1", ZeroCounts: true, Reload: Partly, ReloadNote: "up from a size, no other way", Field: "JetStreamMaxStore", Doc: "Disk for streams; -1 is 75 % of what is free."}),
	text("domain", func(j *JetStream) *string { return &j.Domain },
		fixedJS("JetStreamDomain", Spec{Unset: "none", Range: "a token of a subject", Doc: "Name under which leaf nodes reach these streams."})),
	custom("strict", kindBool, func(r *reader, k key, j *JetStream) {
		if k.Kind != grammar.Bool {
			r.errorf(k.Value, "Expected 'true' or 'false' for bool value, got '%s'", wrongVerb(k.Value))
			return
		}
		j.Strict = k.Bool
	}, func(j *JetStream) any { return j.Strict },
		fixedJS("NoJetStreamStrict", Spec{Default: "true", ZeroCounts: true, Range: "true or false", Doc: "Refuse requests that have fields no version knows."})),
	custom("sync_interval", "duration or `always`", func(r *reader, k key, j *JetStream) {
		if k.Kind == grammar.String && strings.EqualFold(k.Str, "always") {
			j.SyncAlways, j.SyncInterval = true, 0
			return
		}
		if d, ok := r.duration(k.Value, k.name); ok {
			j.SyncAlways, j.SyncInterval = false, d
		}
	}, func(j *JetStream) any {
		if j.SyncAlways {
			return "always"
		}
		return j.SyncInterval
	}, fixedJS("SyncInterval", Spec{Aliases: []string{"sync"}, Default: `"always"`, ZeroCounts: true, Range: "`always` or a duration",
		Doc: "When messages are on disk: before they are acknowledged, or at this interval. nats-server's default is 2m."})),
	text("encryption_key", func(j *JetStream) *string { return &j.EncryptionKey },
		fixedJS("JetStreamKey", Spec{Aliases: []string{"key", "ek"}, Unset: "no encryption", Secret: true, Doc: "Key that streams are encrypted with."})),
	text("prev_encryption_key", func(j *JetStream) *string { return &j.PrevKey },
		fixedJS("JetStreamOldKey", Spec{Aliases: []string{"prev_key", "prev_ek"}, Unset: "none", Secret: true, Doc: "Key that they were encrypted with before."})),
	jsCipher(func(j *JetStream) *string { return &j.Cipher }),
	text("extension_hint", func(j *JetStream) *string { return &j.ExtensionHint },
		fixedJS("JetStreamExtHint", Spec{Unset: "none", Range: "`will_extend` or `no_extend`", Doc: "Whether leaf nodes and their hub have one system account."})),
	custom("unique_tag", kindText, func(r *reader, k key, j *JetStream) {
		if tag, ok := r.str(k.Value); ok {
			j.UniqueTag = strings.ToLower(strings.TrimSpace(tag))
		}
	}, func(j *JetStream) any { return j.UniqueTag },
		fixedJS("JetStreamUniqueTag", Spec{Unset: "none", Range: "the beginning of a tag, such as `az:`", Doc: "Replicas of a stream go to servers with different tags of this kind."})),
	inside(custom("limits", kindBlock, func(r *reader, k key, j *JetStream) {
		if k.Kind != grammar.Map {
			r.errorf(k.Value, "Expected a map to define JetStreamLimits, got %s", k.Kind)
			return
		}
		j.Limits = JetStreamLimits{}
		jsLimitsBlock.read(r, k.Map, "", &j.Limits)
	}, func(j *JetStream) any { return j.Limits },
		Spec{Unset: "none", Reload: Live, Log: "JetStream limits", Waiting: PartJetStream, Doc: "What clients may ask for."}), &jsLimitsBlock),
	inside(custom("tpm", kindBlock, func(r *reader, k key, j *JetStream) {
		if k.Kind != grammar.Map {
			r.errorf(k.Value, "Expected a map to define JetStreamLimits, got %s", k.Kind)
			return
		}
		j.TPM = TPM{}
		tpmBlock.read(r, k.Map, "", &j.TPM)
	}, func(j *JetStream) any { return j.TPM },
		fixedJS("JetStreamTpm", Spec{Unset: "none", Doc: "Keep the encryption key in the machine's trusted platform module."})), &tpmBlock),
	jsSize("max_outstanding_catchup", nil, "", func(j *JetStream) *int64 { return &j.MaxCatchup },
		fixedJS("JetStreamMaxCatchup", Spec{Unset: "64MB", Range: "0 or more bytes", Doc: "What may be on the way to replicas that catch up."})),
	jsSize("max_buffered_size", nil, "", func(j *JetStream) *int64 { return &j.MaxBufferedSize },
		fixedJS("StreamMaxBufferedSize", Spec{Unset: "128MB", Range: "0 or more bytes", Doc: "What may wait to be stored in a stream."})),
	jsCount("max_buffered_msgs", func(j *JetStream) *int { return &j.MaxBufferedMsgs },
		fixedJS("StreamMaxBufferedMsgs", Spec{Unset: "10000", Range: "0 or more", Doc: "How many messages may wait to be stored in a stream."})),
	jsCount("request_queue_limit", func(j *JetStream) *int64 { return &j.RequestQueue },
		fixedJS("JetStreamRequestQueueLimit", Spec{Default: "10000", Range: "1 or more", Doc: "How many requests may wait."})),
	jsCount("info_queue_limit", func(j *JetStream) *int64 { return &j.InfoQueue },
		fixedJS("JetStreamInfoQueueLimit", Spec{Unset: "`request_queue_limit`", Range: "1 or more", Doc: "How many requests for information may wait."})),
	custom("meta_compact", kindInt, func(r *reader, k key, j *JetStream) {
		if k.Kind != grammar.Int || k.Int < 0 {
			r.errorf(k.Value, "Expected an absolute size for %q, got %v", k.name, k.Value)
			return
		}
		j.MetaCompact = uint64(k.Int)
	}, func(j *JetStream) any { return j.MetaCompact },
		Spec{Unset: "0", Range: "0 or more entries", Reload: Live, Waiting: PartJetStream, Doc: "Entries of the log of assignments that make it be shortened."}),
	custom("meta_compact_size", kindSize, func(r *reader, k key, j *JetStream) {
		n, err := storageSize(k.Value)
		switch {
		case err != nil:
			r.errorf(k.Value, "%s %v", strings.ToLower(k.name), err)
		case n < 0:
			r.errorf(k.Value, "Expected an absolute size for %q, got %v", k.name, k.Value)
		default:
			j.MetaCompactSize = uint64(n)
		}
	}, func(j *JetStream) any { return j.MetaCompactSize },
		Spec{Unset: "0", Range: "0 or more bytes", Reload: Live, Waiting: PartJetStream, Doc: "Size of the log of assignments that makes it be shortened."}),
	boolean("meta_compact_sync", func(j *JetStream) *bool { return &j.MetaCompactSync },
		Spec{Reload: Live, Waiting: PartJetStream, Doc: "Wait for the shortening."}),
	custom("max_concurrent_io", kindInt, func(r *reader, k key, j *JetStream) {
		if k.Kind != grammar.Int || k.Int < 4 || k.Int > 8192 {
			r.errorf(k.Value, "Expected an absolute size for %q between 4 and 8192, got %v", k.name, k.Value)
			return
		}
		j.MaxConcurrentIO = int(k.Int)
	}, func(j *JetStream) any { return j.MaxConcurrentIO },
		fixedJS("JetStreamConcurrentIOs", Spec{Default: "4096", Range: "4 to 8192", Doc: "Disk operations at a time."})),
}}

// wrongVerb is how the reference prints a value where it expects a string.
func wrongVerb(v *grammar.Value) string {
	switch v.Kind {
	case grammar.String, grammar.Time, grammar.List, grammar.Map:
		return v.String()
	}
	return fmt.Sprintf("%%!s(%s=%v)", v.Kind, v)
}

// storageSize reads a size in bytes, or a string that ends in K, M, G or T.
func storageSize(v *grammar.Value) (int64, error) {
	switch {
	case v.Kind == grammar.Int:
		return v.Int, nil
	case v.Kind != grammar.String:
		return 0, errors.New("must be int64 or string")
	case v.Str == "":
		return 0, nil
	}
	last := len(v.Str) - 1
	n, err := strconv.ParseInt(v.Str[:last], 10, 64)
	if err != nil {
		return 0, err
	}
	shift := strings.IndexByte("KMGT", v.Str[last])
	if shift < 0 {
		return 0, errors.New("sizes defined as strings must end in K, M, G, T")
	}
	return n << (10 * (shift + 1)), nil
}

// jsSize is an option for a storage size. called is its name in messages, "" the
// key as written.
func jsSize(name string, aliases []string, called string, at func(*JetStream) *int64, s Spec) entry[JetStream] {
	s.Aliases, s.Waiting = aliases, PartJetStream
	if s.Range == "" {
		s.Range = `bytes, or a string such as "10G"`
	}
	return custom(name, kindSize, func(r *reader, k key, j *JetStream) {
		n, err := storageSize(k.Value)
		if err != nil {
			field := called
			if field == "" {
				field = strings.ToLower(k.name)
			}
			r.errorf(k.Value, "%s %v", field, err)
			return
		}
		*at(j) = n
	}, func(j *JetStream) any { return *at(j) }, s)
}

// jsCount is an option that counts.
func jsCount[N number](name string, at func(*JetStream) *N, s Spec) entry[JetStream] {
	return custom(name, kindInt, func(r *reader, k key, j *JetStream) {
		if k.Kind != grammar.Int {
			r.errorf(k.Value, "Expected a parseable size for %q, got %v", k.name, k.Value)
			return
		}
		*at(j) = fit[N](k.Int)
	}, func(j *JetStream) any { return *at(j) }, s)
}

func jsCipher[T any](at func(*T) *string) entry[T] {
	return custom("cipher", kindText, func(r *reader, k key, into *T) {
		name, ok := r.str(k.Value)
		if !ok {
			return
		}
		switch strings.ToLower(name) {
		case "chacha", "chachapoly":
			*at(into) = "chacha"
		case "aes":
			*at(into) = "aes"
		default:
			r.errorf(k.Value, "Unknown cipher type: %q", name)
		}
	}, func(t *T) any { return *at(t) },
		fixedJS("JetStreamCipher", Spec{Default: `"chacha"`, Range: "`chacha`, `chachapoly` or `aes`", Doc: "How streams are encrypted."}))
}

func jsLimit[T any](name string, at func(*T) *int, deft, doc string) entry[T] {
	s := Spec{Default: deft, Range: "0 (no limit) or more", Reload: Live, Waiting: PartJetStream, Doc: doc}
	if deft == "" {
		s.Unset = "no limit"
	}
	return integer(name, at, s)
}

// jsDuration is a duration whose trouble the reference tells without its name.
func jsDuration[T any](name string, at func(*T) *time.Duration, unset, doc string) entry[T] {
	return custom(name, kindDuration, func(r *reader, k key, into *T) {
		text, ok := r.str(k.Value)
		if !ok {
			return
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			r.errorf(k.Value, "%v", err)
			return
		}
		*at(into) = d
	}, func(t *T) any { return *at(t) }, Spec{Unset: unset, Range: `a string such as "2m"`, Reload: Live, Waiting: PartJetStream, Doc: doc})
}

var jsLimitsBlock = block[JetStreamLimits]{entries: []entry[JetStreamLimits]{
	jsLimit("max_ack_pending", func(l *JetStreamLimits) *int { return &l.MaxAckPending }, "", "Messages of a consumer that wait for an ack."),
	jsLimit("max_ha_assets", func(l *JetStreamLimits) *int { return &l.MaxHAAssets }, "", "Replicated streams and consumers on this server."),
	jsLimit("max_request_batch", func(l *JetStreamLimits) *int { return &l.MaxRequestBatch }, "", "Messages of one pull."),
	jsLimit("default_max_consumers", func(l *JetStreamLimits) *int { return &l.DefaultMaxConsumers }, "1000", "Consumers of a stream that does not say; -1 is no limit."),
	jsDuration("duplicate_window", func(l *JetStreamLimits) *time.Duration { return &l.DuplicateWindow }, "no limit", "Longest window in which a stream finds duplicates."),
	inside(custom("batch", kindBlock, func(r *reader, k key, l *JetStreamLimits) {
		if k.Kind != grammar.Map {
			r.errorf(k.Value, "Expected a map to define batch limits, got %s", k.Kind)
			return
		}
		batchBlock.read(r, k.Map, "", &l.Batch)
	}, nil, Spec{Unset: "the standard limits", Reload: Live, Waiting: PartJetStream, Doc: "Batches of messages."}), &batchBlock),
}}

var batchBlock = block[BatchLimits]{entries: []entry[BatchLimits]{
	jsLimit("max_inflight_per_stream", func(b *BatchLimits) *int { return &b.MaxInflightPerStream }, "50", "Open batches of a stream."),
	jsLimit("max_inflight_total", func(b *BatchLimits) *int { return &b.MaxInflightTotal }, "1000", "Open batches of the server."),
	jsLimit("max_msgs", func(b *BatchLimits) *int { return &b.MaxMsgs }, "1000", "Messages of a batch."),
	jsDuration("timeout", func(b *BatchLimits) *time.Duration { return &b.Timeout }, "10 seconds", "Time from a batch's first message to its last."),
}}

var tpmBlock = block[TPM]{entries: []entry[TPM]{
	filePath("keys_file", func(t *TPM) *string { return &t.KeysFile }, fixedJS("JetStreamTpm", Spec{Unset: "refused", Doc: "File with the sealed keys."})),
	text("encryption_password", func(t *TPM) *string { return &t.EncryptionPassword }, fixedJS("JetStreamTpm", Spec{Unset: "none", Secret: true, Doc: "Password of the keys."})),
	text("srk_password", func(t *TPM) *string { return &t.SRKPassword }, fixedJS("JetStreamTpm", Spec{Unset: "none", Secret: true, Doc: "Password of the storage root key."})),
	integer("pcr", func(t *TPM) *int { return &t.PCR }, fixedJS("JetStreamTpm", Spec{Unset: "22", Range: "0 to 23", Doc: "Register that the keys are bound to."})),
	jsCipher(func(t *TPM) *string { return &t.Cipher }),
}}

// checkJetStream finds what is wrong with JetStream as a whole.
func (o *Options) checkJetStream() error {
	if err := o.checkDefaultDomain(); err != nil {
		return err
	}
	j := o.JetStream
	if j == nil {
		return nil
	}
	if j.Domain != "" {
		if subject := "$JS." + j.Domain + ".API.>"; !validSubject(subject) {
			return fmt.Errorf("invalid domain name: derived %q is not a valid subject", subject)
		}
		if strings.ContainsAny(j.Domain, " \t\r\n\f.*>") {
			return errors.New("invalid domain name: may not contain ., * or >")
		}
	}
	if !j.Enabled || o.Cluster == nil || o.Cluster.Port == 0 {
		return nil
	}
	switch {
	case o.ServerName == "":
		return errors.New("jetstream cluster requires `server_name` to be set")
	case o.Cluster.Name == "":
		return errors.New("jetstream cluster requires `cluster.name` to be set")
	}
	j.ExtensionHint = strings.ToLower(j.ExtensionHint)
	if !slices.Contains([]string{"", "will_extend", "no_extend"}, j.ExtensionHint) {
		return fmt.Errorf("expected 'no_extend' for string value, got '%s'", j.ExtensionHint)
	}
	if j.MaxCatchup < 0 {
		return errors.New("jetstream max catchup cannot be negative")
	}
	return nil
}

func (o *Options) checkDefaultDomain() error {
	for name, domain := range o.DefaultJSDomain {
		a := o.account(name)
		switch {
		case len(o.Operators) > 0 && !isKey(nkeyAccount, name):
			return fmt.Errorf("default_js_domain contains account name %q, which is not a valid public account nkey", name)
		case len(o.Operators) == 0 && a != nil && a.JetStream != nil && domain != "":
			return fmt.Errorf("default_js_domain contains account name %q with enabled JetStream", name)
		case len(o.Operators) == 0 && a == nil && name != GlobalAccount:
			return fmt.Errorf("in non operator mode, `default_js_domain` references non existing account %q", name)
		case name == o.systemAccount():
			return fmt.Errorf("system account %q can not be in default_js_domain", name)
		case domain != "" && !validSubject("$JS."+domain+".API.>"):
			return fmt.Errorf("default_js_domain contains account %q with invalid domain name %q", name, domain)
		}
	}
	return nil
}

// systemAccount is the name of the system account.
func (o *Options) systemAccount() string {
	if o.SystemAccount == "" {
		return SystemAccount
	}
	return o.SystemAccount
}
