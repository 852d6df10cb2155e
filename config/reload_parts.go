package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"peregrine/config/grammar"
)

// noPos is no place.
var noPos grammar.Pos

func (d *differ) tls() error {
	// Two seconds hold for handshakes with nobody, too.
	old, new := TLS{Timeout: 2 * time.Second}, TLS{Timeout: 2 * time.Second}
	if d.old.TLS != nil {
		old = *d.old.TLS
	}
	if d.new.TLS != nil {
		new = *d.new.TLS
	}
	if reflect.DeepEqual(old, new) && (d.old.TLS == nil) == (d.new.TLS == nil) {
		return nil
	}
	if old.Map != new.Map {
		return refuse("TLSMap", old.Map, new.Map)
	}
	if old.RateLimit != new.RateLimit {
		return refuse("TLSRateLimit", old.RateLimit, new.RateLimit)
	}
	state := "disabled"
	if d.new.TLS != nil {
		state = "enabled"
	}
	d.add("tls", "tls = %s", state)
	if old.Timeout != new.Timeout {
		d.add("tls.timeout", "tls timeout = %v", new.Timeout.Seconds())
	}
	if !slices.Equal(old.PinnedCerts, new.PinnedCerts) {
		d.add("tls.pinned_certs", "%d pinned_certs", len(new.PinnedCerts))
	}
	if old.HandshakeFirst != new.HandshakeFirst {
		d.add("tls.handshake_first", "Client TLS handshake first: %v", new.HandshakeFirst)
	}
	if old.HandshakeFallback != new.HandshakeFallback {
		d.add("tls.handshake_first", "Client TLS handshake first fallback delay: %v", new.HandshakeFallback)
	}
	return nil
}

func (d *differ) cluster() error {
	old, new := Cluster{}, Cluster{}
	if d.old.Cluster != nil {
		old = *d.old.Cluster
	}
	if d.new.Cluster != nil {
		new = *d.new.Cluster
	}
	if old.Host != new.Host {
		return refuse("cluster host", old.Host, new.Host)
	}
	if old.Port != new.Port {
		return refuse("cluster port", old.Port, new.Port)
	}
	before := len(d.changes)
	if err := d.inside("cluster", unsupported); err != nil {
		return err
	}
	// One line tells all but the routes.
	others := slices.ContainsFunc(d.changes[before:], func(c Change) bool { return c.Path != "cluster.routes" })
	if others {
		d.add("cluster", "cluster", nil)
	}
	return nil
}

func (d *differ) leafNode() error {
	refuseField := func(row *Option, old, new any) error {
		return fmt.Errorf("config reload not supported for LeafNode: field %q: old=%v, new=%v", row.Field, plainValue(old), plainValue(new))
	}
	before := len(d.changes)
	if err := d.inside("leafnodes", refuseField); err != nil {
		return err
	}
	// Remotes have changes of their own.
	d.changes = append(d.changes[:before], slices.DeleteFunc(slices.Clone(d.changes[before:]), func(c Change) bool { return c.Path == "leafnodes.remotes" })...)
	return d.remotes()
}

// remotes compares the servers that this one connects to as a leaf node.
func (d *differ) remotes() error {
	named := func(l *LeafNode) (names []string, all map[string]*LeafRemote) {
		all = make(map[string]*LeafRemote)
		if l != nil {
			for _, m := range l.Remotes {
				names = append(names, m.name())
				all[m.name()] = m
			}
		}
		return names, all
	}
	oldNames, old := named(d.old.LeafNode)
	newNames, new := named(d.new.LeafNode)
	for _, name := range newNames {
		m, was := new[name], old[name]
		if was == nil {
			d.add("leafnodes.remotes", "", nil)
			continue
		}
		if err := d.remote(was, m); err != nil {
			return fmt.Errorf("config reload not supported for LeafNode: remote %s: %w", m, err)
		}
	}
	for _, name := range oldNames {
		if new[name] == nil {
			d.add("leafnodes.remotes", "LeafNode Remote %s removed", old[name])
		}
	}
	return nil
}

// remote compares a remote that stays.
func (d *differ) remote(old, new *LeafRemote) error {
	a, b := *old, *new
	a.Pos, a.Compression, a.Disabled, a.TLS = b.Pos, b.Compression, b.Disabled, b.TLS
	p, q := LeafProxy{}, LeafProxy{}
	if a.Proxy != nil {
		p = *a.Proxy
	}
	if b.Proxy != nil {
		q = *b.Proxy
	}
	sameProxyTLS := reflect.DeepEqual(p.TLS, q.TLS)
	p.TLS, q.TLS = nil, nil
	if p != q {
		return errors.New(`field "Proxy": only the proxy TLS configuration can be changed`)
	}
	a.Proxy = b.Proxy
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			return fmt.Errorf("field %q: old=%v, new=%v", x.Type().Field(i).Name, x.Field(i).Interface(), y.Field(i).Interface())
		}
	}
	if !reflect.DeepEqual(old.Compression, new.Compression) {
		d.add("leafnodes.remotes", fmt.Sprintf("LeafNode Remote %s Compression value is: %v", new, new.Compression), nil)
	}
	if old.Disabled != new.Disabled {
		d.add("leafnodes.remotes", fmt.Sprintf("LeafNode Remote %s Disabled value is: %v", new, new.Disabled), nil)
	}
	if !reflect.DeepEqual(old.TLS, new.TLS) || !sameProxyTLS {
		d.add("leafnodes.remotes", "", nil)
	}
	return nil
}

// jetStreamOf returns the block, or what holds without it.
func jetStreamOf(o *Options) *JetStream {
	if o.JetStream != nil {
		return o.JetStream
	}
	j := new(JetStream)
	r := &reader{opts: New(), where: make(map[string]grammar.Pos)}
	jetStreamBlock.complete(r, "jetstream", j)
	j.InfoQueue = j.RequestQueue
	return j
}

func (d *differ) jetStream() error {
	old, new := jetStreamOf(d.old), jetStreamOf(d.new)
	if old.Enabled != new.Enabled {
		d.add("jetstream", "JetStream", nil)
	}
	a, b := *d.old, *d.new
	a.JetStream, b.JetStream = old, new
	in := &differ{old: &a, new: &b, rows: d.rows}
	err := in.inside("jetstream", func(row *Option, from, to any) error {
		return unsupported(row, plainValue(from), plainValue(to))
	})
	if err != nil {
		return err
	}
	for _, c := range in.changes {
		var from, to int64
		switch c.Path {
		case "jetstream.enabled":
			continue
		case "jetstream.max_memory_store":
			from, to = old.MaxMemory, new.MaxMemory
		case "jetstream.max_file_store":
			from, to = old.MaxStore, new.MaxStore
		default:
			d.changes = append(d.changes, c)
			continue
		}
		if !old.Enabled {
			continue
		}
		switch {
		case from != -1 && to > from:
			key := "max_mem_store"
			if c.Path == "jetstream.max_file_store" {
				key = "max_file_store"
			}
			d.add(c.Path, "JetStream "+key+" = %s", inUnits(to))
		case from != -1 && to == -1 && !new.Enabled:
		case from != -1 && to == -1:
			return errors.New("config reload not supported for jetstream max memory and max store")
		case from == -1:
			return errors.New("config reload not supported for jetstream dynamic max memory and store")
		default:
			return errors.New("config reload not supported for decreasing jetstream max memory and store")
		}
	}
	return nil
}

// inUnits writes a number of bytes in the largest unit that leaves one or more.
func inUnits(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	amount, unit := float64(n), -1
	for amount >= 1024 {
		amount /= 1024
		unit++
	}
	return fmt.Sprintf("%.2f %cB", amount, "KMGTPE"[unit])
}

func (d *differ) storeDir() error {
	if d.old.StoreDir == d.new.StoreDir || !jetStreamOf(d.old).Enabled {
		return nil
	}
	switch {
	case d.new.StoreDir != "":
		return errors.New("config reload not supported for jetstream storage directory")
	case jetStreamOf(d.new).Enabled:
		return errors.New("config reload not supported for jetstream storage dir")
	}
	return nil
}
