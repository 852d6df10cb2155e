package main

import (
	"fmt"
	"io"
	"strings"
)

// helpColumn is where explanations begin.
const helpColumn = 37

// printUsage writes the help text, generated from the option table.
func printUsage(w io.Writer) int {
	var b strings.Builder
	b.WriteString("\nUsage: peregrine [options]\n       peregrine " + strings.Join(commandNames(), " | ") + " ...\n")
	for _, section := range sections {
		fmt.Fprintf(&b, "\n%s:\n", section)
		for _, o := range options {
			if o.section == section {
				writeOption(&b, o)
			}
		}
	}
	fmt.Fprintf(&b, "\nOptions of nats-server that are refused until their part exists:\n    %s\n\n", wrap(refusedNames(), 76))
	io.WriteString(w, b.String())
	return 0
}

func writeOption(b *strings.Builder, o option) {
	names := make([]string, len(o.names))
	for i, name := range o.names {
		names[i] = spelling(name)
	}
	left := strings.Join(names, ", ")
	if !strings.HasPrefix(left, "--") {
		left = "    " + left
	} else {
		left = "        " + left
	}
	if o.arg != "" {
		left += " " + o.arg
	}
	if len(left) >= helpColumn {
		fmt.Fprintf(b, "%s\n%*s%s\n", left, helpColumn, "", o.help)
		return
	}
	fmt.Fprintf(b, "%-*s%s\n", helpColumn, left, o.help)
}

func refusedNames() []string {
	var names []string
	for _, o := range options {
		if o.needs != "" {
			names = append(names, spelling(o.names[0]))
		}
	}
	return names
}

// wrap joins words into lines of at most width bytes, indented by four.
func wrap(words []string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range words {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteString("\n    ")
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
