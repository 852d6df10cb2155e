package certs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
	"golang.org/x/crypto/ocsp"
)

const (
	cacheFile = "cache.json"
	// cacheMax is how many answers a cache holds, cacheFileMax how large a file
	// of them is read.
	cacheMax     = 1 << 16
	cacheFileMax = 512 << 20
)

// CacheOptions say where the answers of responders are kept.
type CacheOptions struct {
	Folder          string
	PreserveRevoked bool // an answer that speaks of a revocation is never dropped
	SaveInterval    time.Duration
}

// CacheStats are a cache's counters.
type CacheStats struct {
	Responses, Hits, Misses, Revoked, Good, Unknown int64
}

// cacheItem is an answer as the file has it; the file is the reference's.
type cacheItem struct {
	Subject string    `json:"subject,omitempty"`
	At      time.Time `json:"cached_at"`
	Status  string    `json:"resp_status"`
	Expires time.Time `json:"resp_expires,omitzero"`
	Answer  []byte    `json:"resp"` // DER, compressed with S2
}

// Cache keeps answers about peers in memory and in a file. A nil Cache keeps
// nothing.
type Cache struct {
	options CacheOptions
	log     Logger
	quit    chan struct{}
	done    sync.WaitGroup

	mu    sync.Mutex // guards the rest
	items map[string]cacheItem
	stats CacheStats
	dirty bool
}

// OpenCache reads the file of a cache, if there is a good one, and writes it
// from time to time until Close.
func OpenCache(o CacheOptions, log Logger) *Cache {
	c := &Cache{options: o, log: log, quit: make(chan struct{}), items: map[string]cacheItem{}}
	if c.options.Folder == "" {
		c.options.Folder = "_rc_"
	}
	c.options.SaveInterval = max(c.options.SaveInterval, time.Second)
	log.Debugf("Starting OCSP peer cache")
	c.load()
	log.Noticef("OCSP peer cache online, type [local]")
	c.done.Add(1)
	go c.run()
	return c
}

func (c *Cache) run() {
	defer c.done.Done()
	tick := time.NewTicker(c.options.SaveInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.log.Debugf("OCSP peer cache save timer expired")
			c.save()
		case <-c.quit:
			c.save()
			return
		}
	}
}

// Close writes the file and stops.
func (c *Cache) Close() {
	if c == nil {
		return
	}
	c.log.Debugf("Stopping OCSP peer cache")
	close(c.quit)
	c.done.Wait()
}

// Stats returns the counters.
func (c *Cache) Stats() CacheStats {
	if c == nil {
		return CacheStats{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

func (c *Cache) path() string { return filepath.Join(c.options.Folder, cacheFile) }

func (c *Cache) load() {
	path := c.path()
	c.log.Debugf("Loading OCSP peer cache [%s]", path)
	b, err := readBounded(path, cacheFileMax)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.log.Debugf("No OCSP peer cache found, starting with empty cache")
		return
	case err == nil:
		var items map[string]cacheItem
		if err = json.Unmarshal(b, &items); err == nil && len(items) > cacheMax {
			err = fmt.Errorf("%d answers, at most %d are kept", len(items), cacheMax)
		}
		if err == nil && items != nil {
			c.items = items
		}
	}
	if err != nil {
		c.log.Warnf("Unable to load OCSP peer cache: %s", err)
		c.dirty = true
	}
	for _, item := range c.items {
		c.count(item, 1)
	}
}

func readBounded(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s has more than %d bytes", path, max)
	}
	return b, err
}

// count adds n answers like item to the counters. The lock is held.
func (c *Cache) count(item cacheItem, n int64) {
	c.stats.Responses += n
	switch item.Status {
	case "good":
		c.stats.Good += n
	case "revoked":
		c.stats.Revoked += n
	default:
		c.stats.Unknown += n
	}
}

// get returns the answer for a key, or nil.
func (c *Cache) get(key string, log Logger) []byte {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	item, ok := c.items[key]
	if ok {
		c.stats.Hits++
	} else {
		c.stats.Misses++
	}
	c.mu.Unlock()
	if !ok {
		log.Debugf("OCSP peer cache miss for key [%s]", key)
		return nil
	}
	log.Debugf("OCSP peer cache hit for key [%s]", key)
	raw, err := unpack(item.Answer)
	if err != nil {
		log.Errorf("Unable to decompress OCSP response for key [%s]: %s", key, err)
		return nil
	}
	return raw
}

// put keeps an answer.
func (c *Cache) put(key string, answer *ocsp.Response, subject string, log Logger) {
	if c == nil {
		return
	}
	log.Debugf("Caching OCSP response for [%s], key [%s]", subject, key)
	packed, err := pack(answer.Raw)
	if err != nil {
		log.Errorf("Unable to compress OCSP response for key [%s]: %s", key, err)
		return
	}
	item := cacheItem{
		Subject: subject, At: time.Now().UTC().Round(time.Second), Status: statusText(answer.Status),
		Expires: answer.NextUpdate, Answer: packed,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.items[key]; ok {
		c.count(old, -1)
	} else if len(c.items) >= cacheMax && !c.makeRoom() {
		return
	}
	c.items[key] = item
	c.count(item, 1)
	c.dirty = true
}

// makeRoom drops an answer that may go. The lock is held.
func (c *Cache) makeRoom() bool {
	for key, item := range c.items {
		if item.Status != "revoked" || !c.options.PreserveRevoked {
			delete(c.items, key)
			c.count(item, -1)
			return true
		}
	}
	return false
}

// drop forgets an answer that get has returned and that did not help.
func (c *Cache) drop(key string, log Logger) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	item, ok := c.items[key]
	if !ok {
		return
	}
	c.stats.Hits--
	c.stats.Misses++
	if item.Status == "revoked" && c.options.PreserveRevoked {
		log.Debugf("Revoked OCSP response for key [%s] preserved by cache policy", key)
		return
	}
	log.Debugf("Deleting OCSP peer cached response for key [%s]", key)
	delete(c.items, key)
	c.count(item, -1)
	c.dirty = true
}

// save writes the file if there is something new.
func (c *Cache) save() {
	c.mu.Lock()
	dirty, items := c.dirty, maps.Clone(c.items)
	c.dirty = false
	c.mu.Unlock()
	if !dirty {
		return
	}
	c.log.Debugf("OCSP peer cache is dirty, saving")
	c.log.Debugf("Saving OCSP peer cache [%s]", c.path())
	b, err := json.MarshalIndent(items, "", " ")
	if err == nil {
		err = os.MkdirAll(c.options.Folder, 0o750)
	}
	if err == nil {
		err = writeWhole(c.options.Folder, cacheFile, "ocsprc-*", b)
	}
	if err != nil {
		c.log.Errorf("Unable to save OCSP peer cache: %s", err)
		c.mu.Lock()
		c.dirty = true
		c.mu.Unlock()
		return
	}
	c.log.Debugf("Saved OCSP peer cache successfully (%d bytes)", len(b))
}

// writeWhole replaces a file by b, or leaves it as it is.
func writeWhole(folder, name, pattern string, b []byte) error {
	tmp, err := os.CreateTemp(folder, pattern)
	if err != nil {
		return err
	}
	if _, err = tmp.Write(b); err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(folder, name))
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

func pack(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w := s2.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unpack(b []byte) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(s2.NewReader(bytes.NewReader(b)), answerMax+1))
	if err == nil && len(raw) > answerMax {
		err = errTooLong
	}
	return raw, err
}
