package certs

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"
)

// answerOf is an answer that is nobody's, for a cache that does not look.
func answerOf(status int, raw string) *ocsp.Response {
	return &ocsp.Response{Status: status, Raw: []byte(raw), NextUpdate: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// TestCacheFile: what a cache holds is there after a restart, and written from
// time to time.
func TestCacheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder, d := filepath.Join(t.TempDir(), "deep", "folder"), new(diary)
		c := OpenCache(CacheOptions{Folder: folder, SaveInterval: time.Minute}, d)
		c.put("one", answerOf(ocsp.Good, "first"), "CN=one", d)
		c.put("two", answerOf(ocsp.Revoked, "second"), "CN=two", d)
		c.put("three", answerOf(ocsp.Unknown, "third"), "CN=three", d)
		c.put("one", answerOf(ocsp.Good, "again"), "CN=one", d)
		pass(61 * time.Second)
		b, err := os.ReadFile(filepath.Join(folder, cacheFile))
		check(t, err)
		var items map[string]map[string]any
		check(t, json.Unmarshal(b, &items))
		if one := items["one"]; len(items) != 3 || one["subject"] != "CN=one" || one["resp_status"] != "good" || one["resp_expires"] != "2030-01-02T03:04:05Z" || one["cached_at"] == nil {
			t.Errorf("%s", b)
		}
		if files, _ := os.ReadDir(folder); len(files) != 1 {
			t.Errorf("%v", files)
		}
		check(t, os.Remove(filepath.Join(folder, cacheFile)))
		pass(10 * time.Minute)
		if _, err := os.Stat(filepath.Join(folder, cacheFile)); err == nil {
			t.Error("written although nothing has changed")
		}
		check(t, os.WriteFile(filepath.Join(folder, cacheFile), b, 0o600))
		c.Close()
		again := OpenCache(CacheOptions{Folder: folder}, d)
		defer again.Close()
		if got := again.Stats(); got != (CacheStats{Responses: 3, Good: 1, Revoked: 1, Unknown: 1}) {
			t.Errorf("%+v", got)
		}
		if raw := again.get("one", d); string(raw) != "again" {
			t.Errorf("%q", raw)
		}
		if raw := again.get("four", d); raw != nil {
			t.Errorf("%q", raw)
		}
		if got := again.Stats(); got.Hits != 1 || got.Misses != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// TestCacheBadFiles: a file that is no cache's is an empty cache, and replaced.
func TestCacheBadFiles(t *testing.T) {
	many := make(map[string]cacheItem, cacheMax+1)
	for i := range cacheMax + 1 {
		many[fmt.Sprint(i)] = cacheItem{Status: "good"}
	}
	large, err := json.Marshal(many)
	check(t, err)
	for name, c := range map[string]struct {
		file []byte
		log  string
	}{
		"empty": {nil, "Unable to load OCSP peer cache"}, "text": {[]byte("{"), "Unable to load OCSP peer cache"},
		"list": {[]byte("[]"), "Unable to load OCSP peer cache"}, "null": {[]byte("null"), "OCSP peer cache online"},
		"many": {large, "65537 answers, at most 65536 are kept"}, "number": {[]byte(`{"a":7}`), "Unable to load"},
	} {
		folder, d := t.TempDir(), new(diary)
		check(t, os.WriteFile(filepath.Join(folder, cacheFile), c.file, 0o600))
		cache := OpenCache(CacheOptions{Folder: folder}, d)
		d.want(t, name, c.log)
		if got := cache.Stats(); got != (CacheStats{}) {
			t.Errorf("%s: %+v", name, got)
		}
		cache.put("one", answerOf(ocsp.Good, "first"), "", d)
		cache.Close()
		if b, err := os.ReadFile(filepath.Join(folder, cacheFile)); err != nil || !strings.Contains(string(b), `"one"`) {
			t.Errorf("%s: %.100q, %v", name, b, err)
		}
	}
	// What is no answer is found when it is needed, and a bomb is not unpacked.
	bomb, err := pack(make([]byte, 100<<20))
	check(t, err)
	for name, answer := range map[string][]byte{"garbage": []byte("garbage"), "bomb": bomb, "nothing": nil} {
		folder, d := t.TempDir(), new(diary)
		b := fmt.Sprintf(`{"one":{"resp_status":"good","resp":%q}}`, base64.StdEncoding.EncodeToString(answer))
		check(t, os.WriteFile(filepath.Join(folder, cacheFile), []byte(b), 0o600))
		cache := OpenCache(CacheOptions{Folder: folder}, d)
		if raw := cache.get("one", d); len(raw) > 0 {
			t.Errorf("%s: %d bytes", name, len(raw))
		}
		cache.Close()
	}
}

// TestCacheFolder: a folder that cannot be written is told, and tried again.
func TestCacheFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, d := t.TempDir(), new(diary)
		place := filepath.Join(base, "file")
		check(t, os.WriteFile(place, nil, 0o600))
		c := OpenCache(CacheOptions{Folder: place, SaveInterval: time.Second}, d)
		c.put("one", answerOf(ocsp.Good, "first"), "", d)
		pass(1500 * time.Millisecond)
		d.want(t, "a file in its place", "ERR Unable to save OCSP peer cache")
		check(t, os.Remove(place))
		c.Close()
		if _, err := os.Stat(filepath.Join(place, cacheFile)); err != nil {
			t.Error(err)
		}
	})
}

// TestCacheFull: a full cache drops what may go, and counts right.
func TestCacheFull(t *testing.T) {
	for _, preserve := range []bool{false, true} {
		d := new(diary)
		c := &Cache{options: CacheOptions{PreserveRevoked: preserve}, log: d, items: map[string]cacheItem{}}
		for i := range cacheMax {
			c.items[fmt.Sprint(i)] = cacheItem{Status: "revoked"}
			c.count(cacheItem{Status: "revoked"}, 1)
		}
		c.put("one more", answerOf(ocsp.Good, "x"), "", d)
		want := CacheStats{Responses: cacheMax, Revoked: cacheMax - 1, Good: 1}
		if preserve { // nothing may go
			want = CacheStats{Responses: cacheMax, Revoked: cacheMax}
		}
		if got := c.Stats(); got != want || len(c.items) != cacheMax {
			t.Errorf("preserve %v: %+v, %d", preserve, got, len(c.items))
		}
	}
}

// TestNoCache: without a cache nothing is kept and nothing breaks.
func TestNoCache(t *testing.T) {
	var c *Cache
	d := new(diary)
	c.put("one", answerOf(ocsp.Good, "x"), "", d)
	c.drop("one", d)
	if c.get("one", d) != nil || c.Stats() != (CacheStats{}) {
		t.Error("a cache that is none has something")
	}
	c.Close()
}
