package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"peregrine/config/grammar"
)

// Compression says how a link between servers is compressed.
type Compression struct {
	Mode       string          // as Complete leaves it: one of the modes
	Thresholds []time.Duration // of the round trip, for "s2_auto": beyond each, a higher level
}

// The compression modes.
const (
	CompressionNotSupported = "not supported"
	CompressionOff          = "off"
	CompressionAccept       = "accept" // do as the other side wishes
	CompressionS2Auto       = "s2_auto"
	CompressionS2Fast       = "s2_fast"
	CompressionS2Better     = "s2_better"
	CompressionS2Best       = "s2_best"
)

// compressionWords are the modes by the words for them.
var compressionWords = map[string]string{
	"not supported": CompressionNotSupported, "not_supported": CompressionNotSupported,
	"disabled": CompressionOff, "off": CompressionOff, "false": CompressionOff,
	"accept": CompressionAccept,
	"auto":   CompressionS2Auto, "s2_auto": CompressionS2Auto,
	"fast": CompressionS2Fast, "s2_fast": CompressionS2Fast,
	"better": CompressionS2Better, "s2_better": CompressionS2Better,
	"best": CompressionS2Best, "s2_best": CompressionS2Best,
}

var autoThresholds = []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}

// compression is an option for a Compression. on is the mode that true, on and
// enabled mean.
func compression[T any](on string, at func(*T) *Compression, s Spec) entry[T] {
	s.Range = "`off`, `accept`, `s2_auto`, `s2_fast`, `s2_better`, `s2_best`, true (" + on + "), false, or see the keys below"
	s.Doc = "Compression of the link."
	return inside(custom("compression", "mode, boolean or block", func(r *reader, k key, into *T) {
		c := at(into)
		switch k.Kind {
		case grammar.String:
			c.Mode = k.Str
		case grammar.Bool:
			c.Mode = CompressionOff
			if k.Bool {
				c.Mode = on
			}
		case grammar.Map:
			compressionBlock.read(r, k.Map, "", c)
		default:
			r.errorf(k.Value, "field %q should be a boolean or a structure, got %s", k.name, k.Kind)
		}
	}, func(t *T) any { return *at(t) }, s), &compressionBlock)
}

var compressionBlock = block[Compression]{entries: []entry[Compression]{
	text("mode", func(c *Compression) *string { return &c.Mode },
		Spec{Unset: "that of the link", Range: "a mode", Reload: Live, Waiting: PartCluster, Doc: "The mode."}),
	custom("rtt_thresholds", "list of durations", func(r *reader, k key, c *Compression) {
		list, ok := r.list(k.Value)
		if !ok {
			return
		}
		for _, e := range list {
			text, ok := r.str(e)
			if !ok {
				return
			}
			d, err := time.ParseDuration(text)
			if err != nil {
				r.errorf(k.Value, "%v", err)
				return
			}
			c.Thresholds = append(c.Thresholds, d)
		}
	}, nil, Spec{Aliases: []string{"thresholds", "rtts", "rtt"}, Unset: "10ms, 50ms and 100ms", Range: "one to four, rising; 0 leaves a level out", Reload: Live, Waiting: PartCluster,
		Doc: "Round trips beyond which s2_auto goes from none to fast, better and best."}),
}}

// complete checks c and gives it its final form. on is what "on" means.
func (c *Compression) complete(on string) error {
	if c.Mode == "" {
		return nil
	}
	word := strings.ToLower(c.Mode)
	if word == "on" || word == "enabled" || word == "true" {
		word = on
	}
	mode, ok := compressionWords[word]
	if !ok {
		return fmt.Errorf("unsupported compression mode %q", c.Mode)
	}
	if mode == CompressionS2Auto {
		thresholds, err := c.thresholds()
		if err != nil {
			return err
		}
		c.Thresholds = thresholds
	}
	c.Mode = mode
	return nil
}

// thresholds returns the thresholds without zeros at the end.
func (c *Compression) thresholds() ([]time.Duration, error) {
	if len(c.Thresholds) == 0 {
		return autoThresholds, nil
	}
	var all []time.Duration
	for _, d := range c.Thresholds {
		d = max(d, 0)
		if d != 0 && len(all) > 0 && d < slices.Max(all) {
			return nil, fmt.Errorf("RTT threshold values %v should be in ascending order", c.Thresholds)
		}
		all = append(all, d)
	}
	for len(all) > 0 && all[len(all)-1] == 0 {
		all = all[:len(all)-1]
	}
	switch {
	case len(all) > 4:
		return nil, fmt.Errorf("compression mode %q should have no more than 4 RTT thresholds: %v", c.Mode, c.Thresholds)
	case len(all) == 0:
		return nil, fmt.Errorf("compression mode %q requires at least one RTT threshold", c.Mode)
	}
	return all, nil
}
