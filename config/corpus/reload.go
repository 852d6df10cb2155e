package corpus

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Reload is a change of a configuration and what comes of it.
type Reload struct {
	Name          string
	Before, After string // the configurations
	Outcome       string // lines of the log, sorted
}

// Ours says that the reference decides otherwise, on purpose.
func (r Reload) Ours() bool { return strings.HasSuffix(r.Name, "(ours)") }

// Reloads reads reload.txt of the working directory: "## name", a configuration,
// ">>", the one after it, "==" and the lines of the log.
func Reloads() ([]Reload, error) {
	text, err := os.ReadFile("reload.txt")
	if err != nil {
		return nil, err
	}
	var all []Reload
	for i, part := range strings.Split(string(text), "## ") {
		if i == 0 {
			continue
		}
		name, rest, _ := strings.Cut(part, "\n")
		before, rest, ok := strings.Cut(rest, ">>\n")
		after, outcome, ok2 := strings.Cut(rest, "==\n")
		if !ok || !ok2 {
			return nil, fmt.Errorf("reload.txt: %s", name)
		}
		all = append(all, Reload{name, before, after, strings.TrimSpace(outcome)})
	}
	return all, nil
}

// ReloadOutcome makes an outcome of the lines of a log from the signal on, without
// times and labels. file is the path of the configuration.
func ReloadOutcome(lines []string, file string) string {
	var told []string
	for _, line := range lines {
		switch {
		case strings.HasPrefix(line, "Reloaded server configuration"):
		case strings.HasPrefix(line, "Failed to reload"), strings.HasPrefix(line, "Reload"):
			told = append(told, strings.ReplaceAll(line, file, "test.conf"))
		}
	}
	slices.Sort(told)
	return strings.Join(told, "\n")
}

// StartFiles returns the paths of the files of start, relative to the working
// directory: -t accepts them, and a server does not start with them.
func StartFiles() ([]string, error) {
	files, err := filepath.Glob("start/*.conf")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no files in start")
	}
	return files, err
}
