package config

import (
	"fmt"
	"io"
	"strings"
)

// Documentation writes docs/configuration.md.
func Documentation(w io.Writer) {
	fmt.Fprint(w, documentationHead)
	rows := Table()
	children := make(map[string][]*Option)
	for i := range rows {
		o := &rows[i]
		parent := strings.TrimSuffix(strings.TrimSuffix(o.Path, o.Name()), ".")
		children[parent] = append(children[parent], o)
	}
	d := documentation{w: w, children: children, written: make(map[string]string)}
	for _, part := range topSections() {
		fmt.Fprintf(w, "\n## %s\n", part.title)
		if part.intro != "" {
			fmt.Fprintf(w, "\n%s\n", part.intro)
		}
		var list []*Option
		for _, o := range children[""] {
			if part.names[o.Path] {
				list = append(list, o)
			}
		}
		d.table(list)
		for _, o := range list {
			d.block(o)
		}
	}
}

type topSection struct {
	title, intro string
	names        map[string]bool
}

// topSections are the parts that the options outside all blocks fall into.
func topSections() []topSection {
	return []topSection{
		{"Clients", "", namesOf(clientOptions)},
		{"Monitoring and files", "", namesOf(monitorOptions)},
		{"Log", "", namesOf(logOptions)},
		{"Limits", "", namesOf(limitOptions)},
		{"Access", "", namesOf(accessOptions)},
		{"Operator mode", "", namesOf(operatorOptions)},
		{"Other parts of the server", "", namesOf(partOptions)},
		{"Peregrine's own", "Files with this block are not for nats-server, which refuses keys it does not know.", namesOf(peregrineOptions)},
	}
}

// namesOf is the set of the names of entries.
func namesOf(entries []entry[Options]) map[string]bool {
	m := make(map[string]bool, len(entries))
	for _, e := range entries {
		m[e.name] = true
	}
	return m
}

// documentation is being written.
type documentation struct {
	w        io.Writer
	children map[string][]*Option
	written  map[string]string // path of a block by the keys it has
}

// inside returns the options directly in o.
func (d *documentation) inside(o *Option) (string, []*Option) {
	for _, path := range []string{o.Path, o.Path + "[]"} {
		if list := d.children[path]; len(list) > 0 {
			return path, list
		}
	}
	return "", nil
}

// block writes the section of a block, unless one with the same keys is there.
func (d *documentation) block(o *Option) {
	path, list := d.inside(o)
	if len(list) == 0 {
		return
	}
	print := d.print(list)
	if first, same := d.written[print]; same {
		fmt.Fprintf(d.w, "\n### `%s`\n\nThe keys of [`%s`](#%s).\n", path, first, anchor(first))
		return
	}
	d.written[print] = path
	fmt.Fprintf(d.w, "\n### `%s`\n", path)
	d.table(list)
	for _, child := range list {
		d.block(child)
	}
}

// print is what tells the keys of a block from those of another.
func (d *documentation) print(list []*Option) string {
	var b strings.Builder
	for _, o := range list {
		fmt.Fprintf(&b, "%s|%s|%s\n", o.Name(), o.Doc, o.Range)
	}
	return b.String()
}

// anchor is how a heading is linked to.
func anchor(path string) string {
	return strings.NewReplacer(".", "", "[", "", "]", "", "`", "").Replace(strings.ToLower(path))
}

func (d *documentation) table(list []*Option) {
	fmt.Fprint(d.w, "\n| Key | Values | Default | Reload | Meaning |\n|---|---|---|---|---|\n")
	for _, o := range list {
		name := "`" + o.Name() + "`"
		for _, alias := range o.Aliases {
			name += "<br>`" + alias + "`"
		}
		meaning := o.Doc
		if flags := o.flagTexts(); len(flags) > 0 {
			meaning += " Flags: `" + strings.Join(flags, "`, `") + "`."
		}
		switch {
		case o.Waiting != "":
			meaning += " *Waits for " + string(o.Waiting) + ".*"
		case o.Ignored != "":
			meaning += " *Without effect: " + o.Ignored + ".*"
		}
		deft := o.Unset
		if o.Default != "" {
			deft = "`" + o.Default + "`"
		}
		fmt.Fprintf(d.w, "| %s | %s: %s | %s | %s | %s |\n", name, o.Type, cell(o.Range), cell(deft), o.reloadText(), cell(meaning))
	}
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

const documentationHead = `# Configuration

This page is generated from the option table (` + "`go test ./config -run Documentation -update`" + `). The same text, an option
at a time: ` + "`peregrine config explain KEY`" + `.

A configuration file of nats-server works unchanged. Its language in short:

| | |
|---|---|
| keys and values | ` + "`key: value`, `key = value` or `key value`" + `; a line, a comma or a semicolon ends a value |
| maps, lists | ` + "`{ … }` with a blank before it, `[a, b]`" + ` |
| strings | without quotes up to a blank, ` + "`\"…\"` with `\\t \\n \\r \\\" \\\\ \\x41`, `'…'`" + ` as is, ` + "`(`" + ` … ` + "`)`" + ` on lines of their own |
| integers | suffixes k m g t p e are powers of 1000; kb, ki, kib and so on powers of 1024. A bare ` + "`1m`" + ` is a million, not a minute |
| durations | strings such as ` + "`\"10s\"`, `\"2m30s\"`" + ` |
| booleans | true, yes, on, false, no, off without quotes |
| comments | ` + "`#` or `//`" + ` to the end of the line |
| references | ` + "`$NAME`" + ` is the value of an earlier key around it, else of the environment; keys that are referred to need not be known |
| other files | ` + "`include FILE`" + `, always relative to the file it stands in |

Keys are found in any case, unknown ones are refused with their place. *Reload* says what SIGHUP does with a changed value:
*yes*, it takes effect; *no*, the reload is refused and nothing changes. Options that wait for a part of the server are read
and checked; a server that is started with one says what is missing and stops.
`
