package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Missing lists what a configuration asks for and the server does not have, a
// line for each part. Options that say what holds anyway ask for nothing. For
// after Complete.
func (o *Options) Missing() []string {
	asked := make(map[Part][]string)
	var order []Part
	rows := Table()
	for i := 0; i < len(rows); i++ {
		row := &rows[i]
		pos, set := o.where[row.Path]
		if !set || row.Waiting == "" || row.Aside || !row.asks(o) {
			continue
		}
		if asked[row.Waiting] == nil {
			order = append(order, row.Waiting)
		}
		name := row.Path
		if pos.Line > 0 {
			name = fmt.Sprintf("%s (%s)", row.Path, pos)
		} else if pos.File != "" {
			name = pos.File
		}
		asked[row.Waiting] = append(asked[row.Waiting], name)
		// What is in the block says nothing more.
		i += row.keys
	}
	var lines []string
	for _, part := range order {
		slices.Sort(asked[part])
		lines = append(lines, fmt.Sprintf("%s needs %s, which this version does not have yet", strings.Join(asked[part], ", "), part))
	}
	return lines
}

// asks says whether the option is set to something else than what holds without
// it.
func (row *Option) asks(o *Options) bool {
	switch row.Path {
	case "jetstream":
		return o.JetStream != nil && o.JetStream.Enabled
	case "ocsp":
		return o.OCSP != nil && o.OCSP.Mode != "never"
	case "ocsp_cache":
		return o.OCSPCache != nil && o.OCSPCache.Type != "none"
	}
	value, ok := row.Get(o)
	if !ok {
		return row.get == nil
	}
	return !isDefault(row, value)
}

// isDefault says whether value is what holds when the option is not set.
func isDefault(row *Option, value any) bool {
	if !row.ZeroCounts && reflect.ValueOf(value).IsZero() {
		return true
	}
	if row.Default == "" {
		return false
	}
	return fmt.Sprint(value) == literal(row.Default).String()
}
